import { describe, expect, it } from 'vitest';
import { translate } from '../../../../../central/store/postgres/connection/dialect.ts';

describe('translate', () => {
  it('numbers parameters as SQLite does: in their order, by their number, and behind the greatest one', () => {
    expect(translate('SELECT ? , ?').sql).toBe('SELECT $1 , $2');
    expect(translate('SELECT ?2, ?1, ?2')).toEqual({
      sql: 'SELECT $1, $2, $1',
      parameters: [
        { index: 1, isNull: false },
        { index: 0, isNull: false },
      ],
    });
    expect(translate('UPDATE a SET b = ?3, c = ?').parameters.map(({ index }) => index)).toEqual([2, 3]);
  });

  it('asks whether a value is NULL by a parameter of its own, whose type is known', () => {
    expect(translate('WHERE (?1 IS NULL OR a = ?1) AND ?2 IS NOT NULL')).toEqual({
      sql: 'WHERE ($1::boolean OR a = $2) AND NOT $3::boolean',
      parameters: [
        { index: 0, isNull: true },
        { index: 0, isNull: false },
        { index: 1, isNull: true },
      ],
    });
  });

  it('leaves texts in quotes as they are', () => {
    expect(translate("SELECT 'what?', 'it''s ?1', ?").sql).toBe("SELECT 'what?', 'it''s ?1', $1");
  });

  it('names what PostgreSQL has under other names', () => {
    expect(translate("SELECT iif(a, 1, 2), glob('*', b) || char(10) FROM json_each(?) LIMIT -1 OFFSET 3").sql).toBe(
      "SELECT sqlite_iif(a, 1, 2), sqlite_glob('*', b) || chr(10) FROM sqlite_json_each($1) LIMIT ALL OFFSET 3",
    );
    expect(translate('WHERE a = b COLLATE NOCASE OR a = c COLLATE BINARY').sql).toBe(
      'WHERE a = b COLLATE nocase OR a = c COLLATE "C"',
    );
  });
});
