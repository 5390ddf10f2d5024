// Functions of SQLite under names of their own, for the SQL that both engines run (dialect.ts translates the names), and
// its scalar `min` and `max`, which PostgreSQL has as aggregates only.

export const FUNCTIONS = `
  CREATE COLLATION IF NOT EXISTS nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

  CREATE FUNCTION sqlite_iif(condition boolean, one anycompatible, other anycompatible) RETURNS anycompatible
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN condition THEN one ELSE other END $$;
  CREATE FUNCTION sqlite_ifnull(one anycompatible, other anycompatible) RETURNS anycompatible
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT coalesce(one, other) $$;
  CREATE FUNCTION max(one bigint, other bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN one IS NULL OR other IS NULL THEN NULL ELSE greatest(one, other) END $$;
  CREATE FUNCTION min(one bigint, other bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN one IS NULL OR other IS NULL THEN NULL ELSE least(one, other) END $$;
  CREATE FUNCTION sqlite_instr(whole text, part text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT strpos(whole, part) $$;

  -- The wildcards are those of a regular expression with other words; classes are the same but for their negation.
  CREATE FUNCTION sqlite_glob(pattern text, value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT value COLLATE "C" ~ ('^(?:' || replace(replace(regexp_replace(pattern COLLATE "C", '([.+(){}|\\\\$])', '\\\\\\1', 'g'), '*', '.*'), '?', '.') || ')$')
  $$;

  CREATE FUNCTION sqlite_json_valid(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    BEGIN
      PERFORM value::json;
      RETURN value IS NOT NULL;
    EXCEPTION WHEN invalid_text_representation THEN
      RETURN false;
    END $$;
  -- A text of PostgreSQL cannot hold the character NUL.
  CREATE FUNCTION sqlite_json(value text) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT replace(value, '\\u0000', '\\ufffd')::json $$;
  CREATE FUNCTION sqlite_json_each(whole text) RETURNS TABLE (key text, value text, type text) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE document json := sqlite_json(whole);
    BEGIN
      IF document IS NULL THEN RETURN; END IF;
      IF json_typeof(document) = 'array' THEN
        RETURN QUERY SELECT (one.number - 1)::text, one.item #>> '{}', sqlite_json_type(one.item)
          FROM json_array_elements(document) WITH ORDINALITY AS one (item, number);
      ELSIF json_typeof(document) = 'object' THEN
        RETURN QUERY SELECT one.key, one.value #>> '{}', sqlite_json_type(one.value) FROM json_each(document) AS one;
      END IF;
    END $$;
  CREATE FUNCTION sqlite_json_type(value json) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE json_typeof(value) WHEN 'string' THEN 'text' WHEN 'boolean' THEN value::text
      WHEN 'number' THEN CASE WHEN value::text ~ '[.eE]' THEN 'real' ELSE 'integer' END ELSE json_typeof(value) END $$;
  CREATE FUNCTION sqlite_json_extract(value text, path text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sqlite_json(value) #>> string_to_array(substr(path, 3), '.') $$;
  CREATE FUNCTION sqlite_json_object(VARIADIC words text[]) RETURNS json LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(json_object_agg(words[one], words[one + 1]), '{}'::json) FROM generate_series(1, cardinality(words), 2) AS one $$;
  CREATE FUNCTION sqlite_json_added(list json[], item anyelement) RETURNS json[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT list || to_json(item) $$;
  CREATE FUNCTION sqlite_json_list(list json[]) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT array_to_json(list)::text $$;
  CREATE AGGREGATE sqlite_json_group_array(anyelement) (SFUNC = sqlite_json_added, STYPE = json[], FINALFUNC = sqlite_json_list, INITCOND = '{}');
`;
