-- A file without checksums (mysql-unchecked.binlog, mariadb-unchecked.binlog): the one between the
-- two FLUSH BINARY LOGS.
SET GLOBAL binlog_checksum = NONE;
FLUSH BINARY LOGS;
CREATE TABLE g.nochk (a INT PRIMARY KEY);
INSERT INTO g.nochk VALUES (1);
SET GLOBAL binlog_checksum = CRC32;
FLUSH BINARY LOGS;
