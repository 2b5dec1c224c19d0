-- Moves of the keys and values, many in one call.
--
-- Locks are always taken in one order, so that calls never wait for each other in a circle: the keys (by advisory locks, since
-- a key that has no row can not be locked otherwise), then the shares in the order of their prefixes, then whatever rows the
-- moves touch. Every statement in a function sees what was committed before it began, so what is read after the locks is
-- what is there.

CREATE FUNCTION $schema.kv_lock(keys text[], spaces integer[], shares integer[]) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(place) FROM (
        SELECT DISTINCT hashtextextended('$schema.kv/' || key, 0) AS place FROM unnest(keys) AS key ORDER BY place
    ) AS places;
    INSERT INTO $schema.kv_used AS used (prefix, bytes)
        SELECT prefix, 0 FROM (
            SELECT left(kv.key, length) COLLATE "C" AS prefix
                FROM $schema.kv AS kv, LATERAL (VALUES (kv.space), (kv.share)) AS counted (length)
                WHERE kv.key = ANY (keys) AND length > 0
            UNION
            SELECT left(key, length) COLLATE "C"
                FROM unnest(keys, spaces, shares) AS given (key, space, share),
                    LATERAL (VALUES (space), (share)) AS counted (length)
                WHERE length > 0
        ) AS prefixes ORDER BY prefix
        ON CONFLICT (prefix) DO UPDATE SET bytes = used.bytes WHERE false;  -- locks the row all the same
END
$body$;

-- Which share has no room for an entry of `size` in the place of the present one: 0 none, 1 the outer, 2 the inner.
CREATE FUNCTION $schema.kv_lacking(
    the_key text, size bigint, new_space integer, new_share integer, space_limit bigint, share_limit bigint
) RETURNS integer LANGUAGE plpgsql AS $body$
DECLARE
    present bigint := 0;
    old_space integer := 0;
    old_share integer := 0;
    held bigint;
BEGIN
    SELECT length(kv.key) + length(kv.value) + 256, kv.space, kv.share INTO present, old_space, old_share
        FROM $schema.kv AS kv WHERE kv.key = the_key;
    IF NOT FOUND THEN
        present := 0; old_space := 0; old_share := 0;
    END IF;
    IF new_space > 0 THEN
        SELECT used.bytes INTO held FROM $schema.kv_used AS used WHERE used.prefix = left(the_key, new_space);
        IF held - (CASE WHEN new_space IN (old_space, old_share) THEN present ELSE 0 END) + size > space_limit THEN
            RETURN 1;
        END IF;
    END IF;
    IF new_share > 0 THEN
        SELECT used.bytes INTO held FROM $schema.kv_used AS used WHERE used.prefix = left(the_key, new_share);
        IF held - (CASE WHEN new_share IN (old_space, old_share) THEN present ELSE 0 END) + size > share_limit THEN
            RETURN 2;
        END IF;
    END IF;
    RETURN 0;
END
$body$;

-- Kinds: 0 put, 1 compare and set (a `given` of NULL deletes), 2 take, 3 delete, 4 expire.
CREATE FUNCTION $schema.kv_apply(
    now float8, kinds integer[], keys text[], expected bytea[], given bytea[], ends float8[],
    spaces integer[], shares integer[], space_limits bigint[], share_limits bigint[]
) RETURNS TABLE (done boolean, lacking integer, held bytea) LANGUAGE plpgsql AS $body$
DECLARE
    live boolean;
BEGIN
    PERFORM $schema.kv_lock(keys, spaces, shares);
    FOR i IN 1 .. cardinality(keys) LOOP
        held := NULL;
        lacking := 0;
        SELECT kv.value INTO held FROM $schema.kv AS kv WHERE kv.key = keys[i] AND kv.expires > now;
        live := FOUND;
        done := CASE kinds[i]
            WHEN 0 THEN true
            WHEN 1 THEN held IS NOT DISTINCT FROM expected[i]
            ELSE live
        END;
        IF done AND given[i] IS NOT NULL THEN
            IF spaces[i] > 0 THEN
                lacking := $schema.kv_lacking(
                    keys[i], length(keys[i]) + length(given[i]) + 256,
                    spaces[i], shares[i], space_limits[i], share_limits[i]
                );
            END IF;
            IF lacking = 0 THEN
                INSERT INTO $schema.kv AS kv VALUES (keys[i], given[i], ends[i], spaces[i], shares[i])
                    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires,
                        space = excluded.space, share = excluded.share;
            END IF;
        ELSIF done AND kinds[i] = 4 THEN
            UPDATE $schema.kv AS kv SET expires = ends[i] WHERE kv.key = keys[i];
        ELSIF live AND done THEN
            DELETE FROM $schema.kv AS kv WHERE kv.key = keys[i];
        END IF;
        IF kinds[i] <> 2 THEN
            held := NULL;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$body$;

-- Remove up to `amount` values that have expired, those that nobody is at; gives how many.
CREATE FUNCTION $schema.kv_sweep(now float8, amount integer) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    due text[];
    gone bigint;
BEGIN
    SELECT array_agg(key) INTO due FROM (
        SELECT kv.key FROM $schema.kv AS kv WHERE kv.expires <= now ORDER BY kv.expires LIMIT amount
    ) AS expired WHERE pg_try_advisory_xact_lock(hashtextextended('$schema.kv/' || key, 0));
    IF due IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM $schema.kv_lock(due, '{}', '{}');
    DELETE FROM $schema.kv AS kv WHERE kv.key = ANY (due) AND kv.expires <= now;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$body$;
