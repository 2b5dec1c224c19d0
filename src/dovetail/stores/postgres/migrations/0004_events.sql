-- Streams of events. Who changes a stream holds its row; many are taken by the order of their names.

-- Let the oldest events go until the rest fits; gives the first that is kept, and the bytes of all.
CREATE FUNCTION $schema.event_trim(
    of_stream bigint, INOUT first bigint, last bigint, INOUT bytes bigint, most_events bigint, most_bytes bigint
) LANGUAGE plpgsql AS $body$
DECLARE
    oldest record;
BEGIN
    IF bytes <= most_bytes AND last - first < most_events THEN
        RETURN;
    END IF;
    FOR oldest IN SELECT e.sequence, length(e.data) AS size FROM $schema.event AS e
        WHERE e.stream = of_stream AND e.sequence >= first ORDER BY e.sequence
    LOOP
        first := oldest.sequence;
        EXIT WHEN bytes <= most_bytes AND last - first < most_events;
        bytes := bytes - oldest.size;
        first := first + 1;
    END LOOP;
    DELETE FROM $schema.event AS e WHERE e.stream = of_stream AND e.sequence < first;
END
$body$;

-- Kinds: 0 append, 1 keep, 2 close, 3 drop. `counts` says how many of `given` are whose.
-- Outcomes: 0 done, 1 the stream has ended, 2 it is unknown.
CREATE FUNCTION $schema.event_apply(
    now float8, kinds integer[], names text[], counts integer[], given bytea[],
    most_events bigint, most_bytes bigint, ttl float8, position_ttl float8
) RETURNS TABLE (outcome integer, reached bigint) LANGUAGE plpgsql AS $body$
DECLARE
    s record;
    taken integer := 0;
    known boolean;
    new_first bigint;
    new_bytes bigint;
BEGIN
    FOR i IN 1 .. cardinality(names) LOOP
        taken := taken + counts[i];
        LOOP
            SELECT * INTO s FROM $schema.stream AS x WHERE x.name = names[i] FOR UPDATE;
            known := FOUND;
            IF known AND now >= s.events_end AND (s.closed OR now >= s.position_end) THEN
                DELETE FROM $schema.event AS e WHERE e.stream = s.number;
                DELETE FROM $schema.stream AS x WHERE x.number = s.number AND x.name = names[i];
                known := false;
            END IF;
            EXIT WHEN known OR kinds[i] > 1;
            INSERT INTO $schema.stream AS x (name, first, last, bytes, closed, events_end, position_end, due)
                VALUES (names[i], 1, 0, 0, false, 0, 0, 0) ON CONFLICT (name) DO NOTHING RETURNING x.* INTO s;
            EXIT WHEN FOUND;
        END LOOP;
        outcome := 0;
        reached := 0;
        IF kinds[i] > 1 AND NOT known THEN
            outcome := 2;
        ELSIF kinds[i] = 3 THEN
            DELETE FROM $schema.event AS e WHERE e.stream = s.number;
            DELETE FROM $schema.stream AS x WHERE x.name = names[i];
        ELSIF kinds[i] = 2 THEN
            UPDATE $schema.stream AS x SET closed = true, due = x.events_end WHERE x.name = names[i];
        ELSIF s.closed OR (kinds[i] = 1 AND known) THEN
            outcome := 1;
        ELSE
            IF known AND now >= s.events_end THEN
                DELETE FROM $schema.event AS e WHERE e.stream = s.number;
                s.first := s.last + 1;
                s.bytes := 0;
            END IF;
            INSERT INTO $schema.event SELECT s.number, s.last + at, data
                FROM unnest(given[taken - counts[i] + 1 : taken]) WITH ORDINALITY AS new (data, at);
            reached := s.last + counts[i];
            SELECT t.first, t.bytes INTO new_first, new_bytes FROM $schema.event_trim(
                s.number, s.first, reached,
                s.bytes + (SELECT coalesce(sum(length(data)), 0) FROM unnest(given[taken - counts[i] + 1 : taken]) AS data)::bigint,
                most_events, most_bytes
            ) AS t;
            -- A clock that went back must not shorten the life of what is there.
            UPDATE $schema.stream AS x SET first = new_first, last = reached, bytes = new_bytes, closed = kinds[i] = 1,
                    events_end = greatest(s.events_end, now + ttl),
                    position_end = greatest(s.position_end, now + position_ttl),
                    due = greatest(s.events_end, now + ttl)
                WHERE x.name = names[i];
        END IF;
        RETURN NEXT;
    END LOOP;
END
$body$;

-- Forget the streams whose names are at or above `low` and below `high` (NULL: no end); gives how many there were.
CREATE FUNCTION $schema.event_drop_range(now float8, low text, high text) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    numbers bigint[];
    known bigint;
BEGIN
    SELECT array_agg(number), count(*) FILTER (WHERE now < events_end OR (NOT closed AND now < position_end))
        INTO numbers, known FROM (
            SELECT x.* FROM $schema.stream AS x WHERE x.name >= low AND (high IS NULL OR x.name < high)
                ORDER BY x.name FOR UPDATE
        ) AS locked;
    DELETE FROM $schema.event AS e WHERE e.stream = ANY (numbers);
    DELETE FROM $schema.stream AS x WHERE x.name >= low AND (high IS NULL OR x.name < high) AND x.number = ANY (numbers);
    RETURN known;
END
$body$;

-- Do what is due to up to `amount` streams that nobody is at; gives how many.
CREATE FUNCTION $schema.event_sweep(now float8, amount integer) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    s record;
    swept bigint := 0;
BEGIN
    FOR s IN SELECT * FROM $schema.stream AS x WHERE x.due <= now ORDER BY x.due LIMIT amount FOR UPDATE SKIP LOCKED LOOP
        swept := swept + 1;
        IF now < s.events_end THEN
            UPDATE $schema.stream AS x SET due = s.events_end WHERE x.name = s.name;
            CONTINUE;
        END IF;
        DELETE FROM $schema.event AS e WHERE e.stream = s.number;
        IF s.closed OR now >= s.position_end THEN
            DELETE FROM $schema.stream AS x WHERE x.name = s.name;
        ELSE
            UPDATE $schema.stream AS x SET first = s.last + 1, bytes = 0, due = s.position_end WHERE x.name = s.name;
        END IF;
    END LOOP;
    RETURN swept;
END
$body$;

-- Up to `amount` of each kind that has expired. One sweeps at a time; gives how many went of the kind that had the most.
CREATE FUNCTION $schema.sweep(now float8, amount integer) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    messages bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('$schema.sweep', 0)) THEN
        RETURN 0;
    END IF;
    DELETE FROM $schema.message AS m WHERE m.number IN (
        SELECT due.number FROM $schema.message AS due WHERE due.expires <= now
            ORDER BY due.expires LIMIT amount FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS messages = ROW_COUNT;
    RETURN greatest(
        messages, $schema.session_sweep(now, amount), $schema.event_sweep(now, amount), $schema.kv_sweep(now, amount)
    );
END
$body$;
