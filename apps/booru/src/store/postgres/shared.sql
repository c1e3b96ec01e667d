CREATE TABLE booru_revision (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    revision bigint NOT NULL
);
COMMENT ON TABLE booru_revision IS
    'Counts changes of the board. Who changes it holds this row until the change is in place.';
INSERT INTO booru_revision (revision) VALUES (1);
CREATE FUNCTION booru_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once in a transaction: the lock is held, and the count above what others have seen.
    IF current_setting('booru.counted', true) IS DISTINCT FROM txid_current()::text THEN
        UPDATE booru_revision SET revision = revision + 1;
        PERFORM set_config('booru.counted', txid_current()::text, true);
    END IF;
    RETURN NULL;
END $$;
-- Of programs that do not do so themselves. Before the rows are touched, so that two wait for each other in
-- one order.
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['images', 'tags', 'image_tags', 'sources', 'image_sources', 'pools',
        'pool_images', 'favourites', 'tag_implications', 'booru_aliases'] LOOP
        EXECUTE format('CREATE TRIGGER booru_count_change BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT WHEN (current_setting(''booru.counts'', true) IS DISTINCT FROM ''itself'') '
            'EXECUTE FUNCTION booru_count_change()', one);
    END LOOP;
END $$;
