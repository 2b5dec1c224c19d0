-- The three parts of a store, and messages of the bus that no notification can carry.
--
-- Times are seconds since the epoch by the clock of whoever calls, never by the server's. Keys sort by their bytes, which is
-- the order of their code points. Values are not compressed: their length would tell what is in them, and most are sealed.

CREATE TABLE $schema.kv (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    expires float8 NOT NULL,        -- Infinity: never
    space integer NOT NULL,         -- how many characters of the key are the prefix of the outer share; 0: none
    share integer NOT NULL          -- ... and of the share inside of it
);
ALTER TABLE $schema.kv ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX kv_expires ON $schema.kv (expires) WHERE expires < 'Infinity';

-- What the entries with a share hold together, by prefix, 256 bytes for each entry included.
CREATE TABLE $schema.kv_used (
    prefix text COLLATE "C" PRIMARY KEY,
    bytes bigint NOT NULL
);

CREATE TABLE $schema.session (
    id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    created float8 NOT NULL,
    seen float8 NOT NULL,
    principal text COLLATE "C" NOT NULL,
    anonymous boolean NOT NULL,
    data bytea NOT NULL,
    expires float8 NOT NULL
);
ALTER TABLE $schema.session ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX session_expires ON $schema.session (expires);
CREATE INDEX session_principal ON $schema.session (principal);
CREATE INDEX session_anonymous ON $schema.session (seen) WHERE anonymous;

-- `first` is the oldest sequence that is kept, `due` when the sweep has to look at the stream.
CREATE TABLE $schema.stream (
    name text COLLATE "C" PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    first bigint NOT NULL,
    last bigint NOT NULL,
    bytes bigint NOT NULL,
    closed boolean NOT NULL,
    events_end float8 NOT NULL,
    position_end float8 NOT NULL,
    due float8 NOT NULL
);
CREATE INDEX stream_due ON $schema.stream (due);

CREATE TABLE $schema.event (
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (stream, sequence)
);
ALTER TABLE $schema.event ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE $schema.message (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    data bytea NOT NULL,
    expires float8 NOT NULL
);
ALTER TABLE $schema.message ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX message_expires ON $schema.message (expires);

-- However an entry comes and goes, it counts. Whoever writes holds the rows of `kv_used` already (see kv_apply).
CREATE FUNCTION $schema.kv_count() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.space > 0 THEN
        UPDATE $schema.kv_used AS used SET bytes = used.bytes - length(OLD.key) - length(OLD.value) - 256
            WHERE used.prefix IN (left(OLD.key, OLD.space), left(OLD.key, OLD.share));
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.space > 0 THEN
        UPDATE $schema.kv_used AS used SET bytes = used.bytes + length(NEW.key) + length(NEW.value) + 256
            WHERE used.prefix IN (left(NEW.key, NEW.space), left(NEW.key, NEW.share));
    END IF;
    RETURN NULL;
END
$body$;
CREATE TRIGGER kv_added AFTER INSERT ON $schema.kv
    FOR EACH ROW WHEN (NEW.space > 0) EXECUTE FUNCTION $schema.kv_count();
CREATE TRIGGER kv_removed AFTER DELETE ON $schema.kv
    FOR EACH ROW WHEN (OLD.space > 0) EXECUTE FUNCTION $schema.kv_count();
CREATE TRIGGER kv_replaced AFTER UPDATE OF value, space, share ON $schema.kv
    FOR EACH ROW WHEN (OLD.space > 0 OR NEW.space > 0) EXECUTE FUNCTION $schema.kv_count();
