-- Sessions. Creating one counts the others, so creations go one by one; all else locks only its own rows, by their ids' order.

-- The session of an anonymous principal (or, given none, of any) that is to go for another one.
CREATE FUNCTION $schema.session_idlest(now float8, whose text, wait boolean) RETURNS text LANGUAGE plpgsql AS $body$
DECLARE
    unused boolean;
    found_id text;
BEGIN
    SELECT 2 * count(*) FILTER (WHERE s.version = 1) > count(*) INTO unused FROM $schema.session AS s
        WHERE s.anonymous AND s.expires > now AND (whose IS NULL OR s.principal = whose);
    IF wait THEN
        SELECT s.id INTO found_id FROM $schema.session AS s
            WHERE s.anonymous AND s.expires > now AND (whose IS NULL OR s.principal = whose)
            ORDER BY CASE WHEN unused AND s.version > 1 THEN 1 ELSE 0 END,
                CASE WHEN unused THEN s.created ELSE s.seen END, s.id
            LIMIT 1 FOR UPDATE;
    ELSE
        SELECT s.id INTO found_id FROM $schema.session AS s
            WHERE s.anonymous AND s.expires > now AND (whose IS NULL OR s.principal = whose)
            ORDER BY CASE WHEN unused AND s.version > 1 THEN 1 ELSE 0 END,
                CASE WHEN unused THEN s.created ELSE s.seen END, s.id
            LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    RETURN found_id;
END
$body$;

-- Outcomes: 0 created, 1 the id is taken, 2 the principal has its most, 3 all have.
CREATE FUNCTION $schema.session_create(
    now float8, new_id text, new_version bigint, new_created float8, new_seen float8, new_principal text,
    new_anonymous boolean, new_data bytea, most bigint, most_of_one bigint, idle_ttl float8, absolute_ttl float8
) RETURNS TABLE (outcome integer, gone text[]) LANGUAGE plpgsql AS $body$
DECLARE
    victim text;
    held bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('$schema.session_create', 0));
    DELETE FROM $schema.session AS s WHERE s.id = new_id AND s.expires <= now;
    gone := '{}';
    outcome := 1;
    IF EXISTS (SELECT FROM $schema.session AS s WHERE s.id = new_id) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    BEGIN
        FOR bound IN 2 .. 3 LOOP
            LOOP
                SELECT count(*) INTO held FROM $schema.session AS s
                    WHERE s.expires > now AND (bound = 3 OR s.principal = new_principal);
                EXIT WHEN held < CASE bound WHEN 2 THEN most_of_one ELSE most END;
                outcome := bound;
                victim := NULL;
                IF bound = 3 OR new_anonymous THEN
                    victim := $schema.session_idlest(now, CASE bound WHEN 2 THEN new_principal END, false);
                    IF victim IS NULL THEN
                        victim := $schema.session_idlest(now, CASE bound WHEN 2 THEN new_principal END, true);
                    END IF;
                END IF;
                IF victim IS NULL THEN
                    RAISE EXCEPTION SQLSTATE 'DV001';  -- takes back what has gone for it
                END IF;
                DELETE FROM $schema.session AS s WHERE s.id = victim;
                gone := gone || victim;
            END LOOP;
        END LOOP;
        INSERT INTO $schema.session
            VALUES (new_id, new_version, new_created, new_seen, new_principal, new_anonymous, new_data,
                least(new_seen + idle_ttl, new_created + absolute_ttl));
        outcome := 0;
    EXCEPTION WHEN SQLSTATE 'DV001' THEN
        gone := '{}';
    END;
    RETURN NEXT;
END
$body$;

-- Kinds: 0 save, 1 touch, 2 delete.
CREATE FUNCTION $schema.session_apply(
    now float8, kinds integer[], ids text[], expected bigint[], versions bigint[], given bytea[],
    idle_ttl float8, absolute_ttl float8
) RETURNS TABLE (done boolean) LANGUAGE plpgsql AS $body$
BEGIN
    FOR i IN 1 .. cardinality(ids) LOOP
        IF kinds[i] = 0 THEN
            UPDATE $schema.session AS s SET version = versions[i], data = given[i], seen = greatest(s.seen, now),
                    expires = least(greatest(s.seen, now) + idle_ttl, s.created + absolute_ttl)
                WHERE s.id = ids[i] AND s.version = expected[i] AND s.expires > now;
        ELSIF kinds[i] = 1 THEN
            UPDATE $schema.session AS s SET seen = greatest(s.seen, now),
                    expires = least(greatest(s.seen, now) + idle_ttl, s.created + absolute_ttl)
                WHERE s.id = ids[i] AND s.expires > now;
        ELSE
            DELETE FROM $schema.session AS s WHERE s.id = ids[i] AND s.expires > now;
        END IF;
        done := FOUND;
        RETURN NEXT;
    END LOOP;
END
$body$;

-- Remove up to `amount` sessions that have ended, those that nobody is at; gives how many.
CREATE FUNCTION $schema.session_sweep(now float8, amount integer) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    swept bigint;
BEGIN
    DELETE FROM $schema.session AS s WHERE s.id IN (
        SELECT due.id FROM $schema.session AS due WHERE due.expires <= now
            ORDER BY due.expires LIMIT amount FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS swept = ROW_COUNT;
    RETURN swept;
END
$body$;
