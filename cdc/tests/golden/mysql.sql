-- What only MySQL has: JSON, compressed transactions, tagged GTIDs, types that are refused by name.
USE g;
CREATE TABLE json (id INT PRIMARY KEY, j JSON);
INSERT INTO json VALUES
 (1, '{"a": 1, "bb": [1, 2.5, -3, 65535, 65536, 4294967296, -9223372036854775808, 18446744073709551615], "c": {"d": null, "e": true, "f": false}}'),
 (2, '"text \\" \\\\ \\u0001 \\u001f é 😀 / \\b\\f\\n\\r\\t"'),
 (3, '[]'), (4, '{}'), (5, 'null'), (6, NULL), (7, '12345'), (8, '-1.5e300'),
 (9, JSON_OBJECT('d', CAST('2026-01-02' AS DATE), 't', CAST('-12:34:56.789' AS TIME(6)), 'n', CAST('2026-01-02 03:04:05.000006' AS DATETIME(6)), 'dec', CAST('1.50' AS DECIMAL(10,2)), 'neg', CAST('-0.005' AS DECIMAL(5,3)), 'y', CAST(2026 AS YEAR))),
 (10, JSON_OBJECT('b', CAST(X'00ff10' AS BINARY(3)), 'long', CAST(REPEAT(X'ab', 100) AS BINARY(100)), 'bit', b'101')),
 (11, JSON_ARRAY(1e14, 1e15, 123456789012345, 1234567890123456e0, 1e-4, 1e-5, 1e-14, 1e-15, 1e-16, 0.1e0, 100e0, -0e0, 1e100, 1.7976931348623157e308, 5e-324, 123456.789e0, 1e21, 1e22, 12345678901234567e0, 1.5e-15, 1.5e-14, 9.999999999999999e14, 999999999999999e0, 0.00001234e0, 1.2345678901234567e-14, -1.2345678901234567e-15, 1.2345678901234567e-5, 1.2345678901234567e-16, -123456789012345.67e0, 9.87654321987654321e-15)),
 (12, JSON_OBJECT('', '', 'a key "quoted"', JSON_ARRAY(JSON_ARRAY(JSON_ARRAY()))));
UPDATE json SET j = JSON_SET(j, '$.a', 2) WHERE id = 1;
SET SESSION binlog_transaction_compression = ON;
INSERT INTO plain VALUES (10), (11);
UPDATE plain SET id = id + 100 WHERE id IN (10, 11);
INSERT INTO json SELECT 13, JSON_ARRAYAGG(REPEAT('x', 100)) FROM (SELECT 1 FROM texts a, texts b, texts c, times d LIMIT 700) x;
DELETE FROM json WHERE id = 13;
SET SESSION binlog_transaction_compression = OFF;
SET gtid_next = 'AUTOMATIC:mytag';
INSERT INTO plain VALUES (20);
SET gtid_next = 'AUTOMATIC';
CREATE TABLE shapes (id INT PRIMARY KEY, g GEOMETRY, p POINT, c VARCHAR(9) CHARACTER SET latin2, v VECTOR(3), u INT UNSIGNED, e ENUM('a') CHARACTER SET utf16, t TEXT);
INSERT INTO shapes VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(3 4)'), 'x', STRING_TO_VECTOR('[1,2,3]'), 4000000000, 'a', 'text');
SET SESSION binlog_row_image = MINIMAL;
INSERT INTO keys_ (c, a) VALUES ('minimal', 1);
SET SESSION binlog_row_image = FULL;
CREATE TABLE part (id INT PRIMARY KEY, j JSON);
INSERT INTO part VALUES (1, '{"a": 1, "b": "some text that is longer than a diff of it"}');
SET SESSION binlog_row_value_options = PARTIAL_JSON;
UPDATE part SET j = JSON_SET(j, '$.a', 3) WHERE id = 1;
SET SESSION binlog_row_value_options = '';
