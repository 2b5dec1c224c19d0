-- Picks what is claimed next, as before, and looks at the first task of each owner when it finds the owner: where few are
-- wanted of many owners, that is all there is to see.
CREATE OR REPLACE FUNCTION $schema.task_pick(now float8, names text[], passed text[], amount integer)
RETURNS TABLE (id text, queue text) LANGUAGE plpgsql
-- Plans may be made while the table is small, and are kept. Of the other scans only that of an index learns what is dead.
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    queues text[];
    owners bigint[];
    due float8[];
    first text[];  -- NULL where the first may not be claimed, and another one of its owner may
    depth integer;
BEGIN
    WITH RECURSIVE waiting AS (
        SELECT q.name, hashtextextended(q.name, 0) AS hash, head.* FROM unnest(names) AS q (name), LATERAL (
            SELECT t.owner_hash AS owner, t.id, t.ready, t.queue, t.expires FROM $schema.task AS t
                WHERE t.queue_hash = hashtextextended(q.name, 0) AND t.ready IS NOT NULL
                ORDER BY t.owner_hash, t.ready, t.id LIMIT 1
        ) AS head
        UNION ALL
        SELECT w.name, w.hash, head.* FROM waiting AS w, LATERAL (
            SELECT t.owner_hash, t.id, t.ready, t.queue, t.expires FROM $schema.task AS t
                WHERE t.queue_hash = w.hash AND t.owner_hash > w.owner AND t.ready IS NOT NULL
                ORDER BY t.owner_hash, t.ready, t.id LIMIT 1
        ) AS head
    ) SELECT array_agg(w.name), array_agg(w.owner), array_agg(w.ready),
            array_agg(CASE WHEN w.queue = w.name AND w.expires > now AND w.id <> ALL (passed) THEN w.id END)
        INTO queues, owners, due, first
        FROM waiting AS w WHERE w.ready <= now;
    IF queues IS NULL THEN
        RETURN;
    END IF;
    depth := least(amount, 1 + 2 * amount::bigint / cardinality(queues));
    RETURN QUERY WITH holding AS MATERIALIZED (
        SELECT t.owner_hash, count(*) AS held FROM $schema.task AS t
            WHERE t.held AND t.lease > now AND t.expires > now GROUP BY t.owner_hash
    ), heads AS MATERIALIZED (
        SELECT o.name, o.owner, head.*, coalesce(holding.held, 0) AS held,
                count(*) OVER (PARTITION BY o.name, o.owner) AS seen
            FROM unnest(queues, owners, due, first) AS o (name, owner, ready, id)
            LEFT JOIN holding ON holding.owner_hash = o.owner,
            LATERAL (
                SELECT o.id, o.ready WHERE depth = 1 AND o.id IS NOT NULL
                UNION ALL
                (SELECT t.id, t.ready FROM $schema.task AS t
                    WHERE (depth > 1 OR o.id IS NULL) AND t.queue_hash = hashtextextended(o.name, 0)
                        AND t.owner_hash = o.owner AND t.ready <= now
                        AND t.queue = o.name AND t.expires > now AND t.id <> ALL (passed)
                    ORDER BY t.ready, t.id LIMIT depth)
            ) AS head
    ), levels AS (
        SELECT h.*, h.held + row_number() OVER (PARTITION BY h.owner ORDER BY h.ready, h.id) AS level FROM heads AS h
    )
    SELECT l.id, l.name FROM levels AS l
        WHERE l.level <= coalesce((SELECT min(h.held) + depth FROM heads AS h WHERE h.seen = depth), l.level)
        ORDER BY l.level, l.ready, l.id LIMIT amount;
END
$body$;
