-- Tell whoever listens. Notifications of one transaction arrive in the order in which they were given, but equal ones only
-- once, so each is numbered. One holds less than 8000 bytes: what is larger waits in a row, and its number is told.

CREATE FUNCTION $schema.publish(channels text[], given bytea[], expires float8) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    place bigint;
BEGIN
    FOR i IN 1 .. cardinality(channels) LOOP
        IF length(given[i]) <= 5600 THEN
            PERFORM pg_notify(channels[i], i || ':' || encode(given[i], 'base64'));
        ELSE
            INSERT INTO $schema.message (data, expires) VALUES (given[i], publish.expires) RETURNING number INTO place;
            PERFORM pg_notify(channels[i], '#' || place);
        END IF;
    END LOOP;
END
$body$;
