-- Once, on the primary, as the account postgres: psql --file roles.sql. Then set the passwords (README.md).
CREATE ROLE queuegate LOGIN;
CREATE ROLE replicator LOGIN REPLICATION;
CREATE ROLE queuegate_check LOGIN CONNECTION LIMIT 10;
CREATE DATABASE queuegate OWNER queuegate TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
-- Nothing but the owner's: others cannot even connect.
REVOKE ALL ON DATABASE queuegate FROM PUBLIC;
-- Transactions of a node that froze end.
ALTER ROLE queuegate SET idle_in_transaction_session_timeout = '5s';
