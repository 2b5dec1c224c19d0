-- Tasks that are claimed by their ids, out of their turn: the same rules as in `task_claim`, and the same order of locks.
-- They come by the order of the ids; a limit that is NULL is none.
CREATE FUNCTION $schema.task_claim_one(
    given_now float8, ids text[], holders text[], seconds float8[], limits bigint[]
) RETURNS TABLE (
    place integer, id text, owner text, queue text, version bigint, status text, ended boolean, created float8,
    updated float8, expires float8, due float8, holder text, attempts bigint, data bytea
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    now float8;
BEGIN
    PERFORM pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended('$schema.task/' || t.queue, 0) AS key
            FROM $schema.task AS t WHERE t.id = ANY (ids) ORDER BY key
    ) AS keys;
    now := $schema.task_now(given_now);
    FOR i IN 1 .. cardinality(ids) LOOP
        RETURN QUERY UPDATE $schema.task AS t SET holder = holders[i], lease = now + seconds[i], held = true, ready = NULL,
                version = t.version + 1, attempts = t.attempts + 1, updated = greatest(t.updated, now)
            WHERE t.id = ids[i] AND t.due <= now AND t.expires > now AND NOT (t.held AND t.lease > now)
                AND (limits[i] IS NULL OR limits[i] > (
                    SELECT count(*) FROM $schema.task AS o
                        WHERE o.queue_hash = t.queue_hash AND o.queue = t.queue AND o.held AND o.lease > now
                            AND o.expires > now
                ))
            RETURNING i, t.id, t.owner, t.queue, t.version, t.status, t.ended, t.created, t.updated, t.expires, t.due,
                t.holder, t.attempts, t.data;
    END LOOP;
END
$body$;
