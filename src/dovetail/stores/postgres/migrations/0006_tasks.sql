-- Tasks, what their steps came to, and how many there are.
--
-- Times are those of the caller where it gives one, and else by the server's clock: leases are short, and clocks of machines
-- differ. Indexes hold hashes of owners and queues, since two names can be longer than an entry may be; what counts compares
-- the names as well.
--
-- Locks are taken in one order: that of creations or those of queues, then rows by their ids (or those that nobody is at),
-- then the row of `task_size`.

CREATE TABLE $schema.task (
    id text COLLATE "C" PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    owner text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    owner_hash bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(owner, 0)) STORED,
    queue_hash bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(queue, 0)) STORED,
    version bigint NOT NULL,
    status text NOT NULL,
    ended boolean NOT NULL,
    created float8 NOT NULL,
    updated float8 NOT NULL,
    expires float8 NOT NULL,        -- Infinity: never
    due float8,
    holder text COLLATE "C" NOT NULL,
    lease float8 NOT NULL,          -- until when its holder has it; 0 where there is none
    held boolean NOT NULL,          -- there is a holder, and nobody has seen that its lease is over
    ready float8,                   -- when it is due; NULL for one that is held
    attempts bigint NOT NULL,
    data bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);  -- each claim leaves an old row behind
ALTER TABLE $schema.task ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX task_expires ON $schema.task (expires) WHERE expires < 'Infinity';
CREATE INDEX task_listed ON $schema.task (owner_hash, created, id);
CREATE INDEX task_unended ON $schema.task (owner_hash) WHERE NOT ended;
CREATE INDEX task_due ON $schema.task (queue_hash, ready) WHERE ready IS NOT NULL;
CREATE INDEX task_waiting ON $schema.task (queue_hash, owner_hash, ready, id) WHERE ready IS NOT NULL;
CREATE INDEX task_leased ON $schema.task (queue_hash, lease) WHERE held;
CREATE INDEX task_held ON $schema.task (owner_hash) WHERE held;

CREATE TABLE $schema.task_step (
    task bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    result bytea NOT NULL,
    PRIMARY KEY (task, name)
);
ALTER TABLE $schema.task_step ALTER COLUMN result SET STORAGE EXTERNAL;

-- One row. Whoever makes or removes tasks changes it as the last thing.
CREATE TABLE $schema.task_size (tasks bigint NOT NULL);
INSERT INTO $schema.task_size VALUES (0);

CREATE FUNCTION $schema.task_now(given float8) RETURNS float8 LANGUAGE sql STABLE
    AS 'SELECT coalesce(given, extract(epoch FROM clock_timestamp())::float8)';

-- Remove up to `amount` tasks that have expired, those that nobody is at; gives how many, which the caller has to count.
CREATE FUNCTION $schema.task_remove(now float8, amount integer) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    numbers bigint[];
BEGIN
    WITH gone AS (
        DELETE FROM $schema.task AS t WHERE t.id IN (
            SELECT due.id FROM $schema.task AS due WHERE due.expires <= now
                ORDER BY due.expires LIMIT amount FOR UPDATE SKIP LOCKED
        ) RETURNING t.number
    ) SELECT array_agg(gone.number) INTO numbers FROM gone;
    DELETE FROM $schema.task_step AS s WHERE s.task = ANY (numbers);
    RETURN coalesce(cardinality(numbers), 0);
END
$body$;

CREATE FUNCTION $schema.task_sweep(given_now float8, amount integer) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    gone bigint := $schema.task_remove($schema.task_now(given_now), amount);
BEGIN
    IF gone > 0 THEN
        UPDATE $schema.task_size SET tasks = tasks - gone;
    END IF;
    RETURN gone;
END
$body$;

-- Creations count others, so they go one by one, many in one call. Outcomes: 0 created, 1 the id is taken, 2 the owner has
-- its most, 3 there are the most of all.
CREATE FUNCTION $schema.task_create(
    given_now float8, ids text[], owners text[], queues text[], statuses text[], ends boolean[], made float8[],
    changed float8[], expiries float8[], dues float8[], given bytea[], most_of_one bigint[], most bigint
) RETURNS TABLE (outcome integer) LANGUAGE plpgsql AS $body$
DECLARE
    now float8;
    size bigint;
    added bigint := 0;
    gone bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('$schema.task_create', 0));
    now := $schema.task_now(given_now);
    SELECT s.tasks INTO size FROM $schema.task_size AS s;
    FOR i IN 1 .. cardinality(ids) LOOP
        DELETE FROM $schema.task_step AS s USING $schema.task AS t
            WHERE t.id = ids[i] AND t.expires <= now AND s.task = t.number;
        DELETE FROM $schema.task AS t WHERE t.id = ids[i] AND t.expires <= now;
        GET DIAGNOSTICS gone = ROW_COUNT;
        added := added - gone;
        outcome := 0;
        IF EXISTS (SELECT FROM $schema.task AS t WHERE t.id = ids[i]) THEN
            outcome := 1;
        ELSIF most_of_one[i] <= (
            SELECT count(*) FROM $schema.task AS t WHERE t.owner_hash = hashtextextended(owners[i], 0)
                AND t.owner = owners[i] AND NOT t.ended AND t.expires > now
        ) THEN
            outcome := 2;
        ELSE
            WHILE size + added >= most LOOP
                gone := $schema.task_remove(now, 500);
                EXIT WHEN gone = 0;
                added := added - gone;
            END LOOP;
            IF size + added >= most THEN
                outcome := 3;
            END IF;
        END IF;
        IF outcome = 0 THEN
            INSERT INTO $schema.task (
                id, owner, queue, version, status, ended, created, updated, expires, due, holder, lease, held, ready,
                attempts, data
            ) VALUES (
                ids[i], owners[i], queues[i], 0, statuses[i], ends[i], least(made[i], now), least(changed[i], now),
                expiries[i], dues[i], '', 0, false, dues[i], 0, given[i]
            );
            added := added + 1;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF added <> 0 THEN
        UPDATE $schema.task_size SET tasks = tasks + added;
    END IF;
END
$body$;

-- Kinds: 0 update, 1 delete. They come by the order of the ids; what has ended is given without a holder and never due. Of a
-- task that was updated it gives what the caller cannot know.
CREATE FUNCTION $schema.task_apply(
    given_now float8, kinds integer[], ids text[], expected bigint[], statuses text[], ends boolean[],
    expiries float8[], dues float8[], holders text[], given bytea[]
) RETURNS TABLE (done boolean, owner text, queue text, created float8, updated float8, attempts bigint)
LANGUAGE plpgsql AS $body$
DECLARE
    now float8 := $schema.task_now(given_now);
    gone bigint := 0;
    place bigint;
BEGIN
    FOR i IN 1 .. cardinality(ids) LOOP
        IF kinds[i] = 0 THEN
            UPDATE $schema.task AS t SET version = t.version + 1, status = statuses[i], ended = ends[i],
                    updated = greatest(t.updated, now), expires = expiries[i], due = dues[i], holder = holders[i],
                    data = given[i], lease = CASE WHEN holders[i] = '' THEN 0 ELSE t.lease END,
                    held = holders[i] <> '' AND t.lease > now,
                    ready = CASE WHEN holders[i] <> '' AND t.lease > now THEN NULL ELSE dues[i] END
                WHERE t.id = ids[i] AND t.version = expected[i] AND NOT t.ended AND t.expires > now
                RETURNING t.owner, t.queue, t.created, t.updated, t.attempts
                INTO task_apply.owner, task_apply.queue, task_apply.created, task_apply.updated, task_apply.attempts;
            done := FOUND;
        ELSE
            DELETE FROM $schema.task AS t WHERE t.id = ids[i] AND t.expires > now RETURNING t.number INTO place;
            done := FOUND;
            IF done THEN
                DELETE FROM $schema.task_step AS s WHERE s.task = place;
                gone := gone + 1;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF gone > 0 THEN
        UPDATE $schema.task_size SET tasks = tasks - gone;
    END IF;
END
$body$;

-- Which of the tasks are still their holders', for so many seconds more. They come by the order of the ids.
CREATE FUNCTION $schema.task_renew(given_now float8, holders text[], ids text[], seconds float8[])
RETURNS TABLE (done boolean) LANGUAGE plpgsql AS $body$
DECLARE
    now float8 := $schema.task_now(given_now);
BEGIN
    FOR i IN 1 .. cardinality(ids) LOOP
        UPDATE $schema.task AS t SET lease = now + seconds[i], held = true, ready = NULL
            WHERE t.id = ids[i] AND t.holder = holders[i] AND NOT t.ended AND t.expires > now;
        done := FOUND;
        RETURN NEXT;
    END LOOP;
END
$body$;

-- Keep what steps came to, by the order of the tasks' ids. Outcomes: 0 kept, or known already; 1 the task is not the holder's;
-- 2 all results of the task, which `size` counts, have no room. A result takes 256 bytes besides itself and its name.
CREATE FUNCTION $schema.task_record(
    given_now float8, ids text[], holders text[], names text[], given bytea[], most bigint
) RETURNS TABLE (outcome integer, size bigint) LANGUAGE plpgsql AS $body$
DECLARE
    now float8 := $schema.task_now(given_now);
    place bigint;
BEGIN
    FOR i IN 1 .. cardinality(ids) LOOP
        outcome := 0;
        size := 0;
        SELECT t.number INTO place FROM $schema.task AS t
            WHERE t.id = ids[i] AND t.holder = holders[i] AND t.expires > now FOR UPDATE;
        IF NOT FOUND THEN
            outcome := 1;
        ELSIF NOT EXISTS (SELECT FROM $schema.task_step AS s WHERE s.task = place AND s.name = names[i]) THEN
            SELECT coalesce(sum(length(s.name) + length(s.result) + 256), 0) + length(names[i]) + length(given[i]) + 256
                INTO size FROM $schema.task_step AS s WHERE s.task = place;
            IF size > most THEN
                outcome := 2;
            ELSE
                INSERT INTO $schema.task_step VALUES (place, names[i], given[i]);
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$body$;

-- Which tasks of these queues, and not of `passed`, are the next to be claimed: at least one if there is any, at most
-- `amount`, in their order. An owner's tasks stand at its level, the number it has held, and each next one a level above:
-- so all of them sorted by level are what taking one after the other comes to. Of each owner only the first few are looked
-- at, and what is above the level at which one of them might have more is left for another look.
CREATE FUNCTION $schema.task_pick(now float8, names text[], passed text[], amount integer)
RETURNS TABLE (id text, queue text) LANGUAGE plpgsql
-- Plans may be made while the table is small, and are kept. Of the other scans only that of an index learns what is dead.
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    queues text[];
    owners bigint[];
    depth integer;
BEGIN
    WITH RECURSIVE waiting AS (
        SELECT q.name, (
            SELECT min(t.owner_hash) FROM $schema.task AS t
                WHERE t.queue_hash = hashtextextended(q.name, 0) AND t.ready IS NOT NULL
        ) AS owner FROM unnest(names) AS q (name)
        UNION ALL
        SELECT w.name, (
            SELECT min(t.owner_hash) FROM $schema.task AS t
                WHERE t.queue_hash = hashtextextended(w.name, 0) AND t.owner_hash > w.owner AND t.ready IS NOT NULL
        ) FROM waiting AS w WHERE w.owner IS NOT NULL
    ) SELECT array_agg(w.name), array_agg(w.owner) INTO queues, owners FROM waiting AS w WHERE w.owner IS NOT NULL;
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
            FROM unnest(queues, owners) AS o (name, owner)
            LEFT JOIN holding ON holding.owner_hash = o.owner,
            LATERAL (
                SELECT t.id, t.ready FROM $schema.task AS t
                    WHERE t.queue_hash = hashtextextended(o.name, 0) AND t.owner_hash = o.owner AND t.ready <= now
                        AND t.queue = o.name AND t.expires > now AND t.id <> ALL (passed)
                    ORDER BY t.ready, t.id LIMIT depth
            ) AS head
    ), levels AS (
        SELECT h.*, h.held + row_number() OVER (PARTITION BY h.owner ORDER BY h.ready, h.id) AS level FROM heads AS h
    )
    SELECT l.id, l.name FROM levels AS l
        WHERE l.level <= coalesce((SELECT min(h.held) + depth FROM heads AS h WHERE h.seen = depth), l.level)
        ORDER BY l.level, l.ready, l.id LIMIT amount;
END
$body$;

-- Hold tasks. The locks of the queues let one claim after the other count what is held of each, so limits hold, and owners
-- have their turns; rows are not waited for. `counts` says how many of `names` and `limits` (NULL: no limit) are whose.
CREATE FUNCTION $schema.task_claim(
    given_now float8, holders text[], amounts integer[], seconds float8[], counts integer[], names text[], limits bigint[]
) RETURNS TABLE (
    claim integer, place integer, id text, owner text, queue text, version bigint, status text, created float8,
    updated float8, expires float8, due float8, attempts bigint, data bytea
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    now float8;
    taken integer := 0;
    own text[];
    open text[];
    passed text[];
    ids text[];
    left_over integer;
    got bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended('$schema.task/' || name, 0) AS key FROM unnest(names) AS name ORDER BY key
    ) AS keys;
    now := $schema.task_now(given_now);
    UPDATE $schema.task AS t SET held = false, ready = t.due WHERE t.id IN (
        SELECT over.id FROM $schema.task AS over
            WHERE over.held AND over.lease <= now
                AND over.queue_hash IN (SELECT hashtextextended(name, 0) FROM unnest(names) AS name)
            FOR UPDATE SKIP LOCKED
    );
    FOR i IN 1 .. cardinality(holders) LOOP
        own := names[taken + 1 : taken + counts[i]];
        passed := '{}';
        left_over := amounts[i];
        WHILE left_over > 0 LOOP
            WITH rooms AS MATERIALIZED (
                SELECT q.name, q.most - (
                    SELECT count(*) FROM $schema.task AS t
                        WHERE q.most IS NOT NULL AND t.queue_hash = hashtextextended(q.name, 0) AND t.queue = q.name
                            AND t.held AND t.lease > now AND t.expires > now
                ) AS room FROM unnest(own, limits[taken + 1 : taken + counts[i]]) AS q (name, most)
            ), picked AS (
                SELECT p.id, p.at, rooms.room,
                        row_number() OVER (PARTITION BY p.queue ORDER BY p.at) AS nth
                    FROM $schema.task_pick(
                        now, (SELECT array_agg(r.name) FROM rooms AS r WHERE r.room IS NULL OR r.room > 0), passed, left_over
                    ) WITH ORDINALITY AS p (id, queue, at)
                    JOIN rooms ON rooms.name = p.queue
            )
            -- Up to the first one for which its queue has no more room: the order of the others is another one then.
            SELECT array_agg(p.id ORDER BY p.at) INTO ids FROM picked AS p
                WHERE p.at < coalesce((SELECT min(f.at) FROM picked AS f WHERE f.nth > f.room), p.at + 1);
            EXIT WHEN ids IS NULL;
            RETURN QUERY UPDATE $schema.task AS t SET holder = holders[i], lease = now + seconds[i], held = true, ready = NULL,
                    version = t.version + 1, attempts = t.attempts + 1, updated = greatest(t.updated, now)
                WHERE t.id IN (
                    SELECT free.id FROM $schema.task AS free
                        WHERE free.id = ANY (ids) AND free.ready <= now AND free.expires > now FOR UPDATE SKIP LOCKED
                )
                RETURNING i, array_position(passed || ids, t.id), t.id, t.owner, t.queue, t.version, t.status, t.created,
                    t.updated, t.expires, t.due, t.attempts, t.data;
            GET DIAGNOSTICS got = ROW_COUNT;
            left_over := left_over - got;
            passed := passed || ids;
            EXIT WHEN got = 0 AND cardinality(passed) >= 100;  -- somebody is at all of them: they can be claimed later
        END LOOP;
        taken := taken + counts[i];
    END LOOP;
END
$body$;
