CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    filepath TEXT NOT NULL UNIQUE,
    md5 TEXT NOT NULL UNIQUE,
    post_id INTEGER,
    parent_id INTEGER,
    has_children BOOLEAN,
    saucenao_lookup BOOLEAN,
    active_source TEXT,
    tags_character TEXT,
    tags_copyright TEXT,
    tags_artist TEXT,
    tags_species TEXT,
    tags_meta TEXT,
    tags_general TEXT,
    score INTEGER,
    fav_count INTEGER,
    phash TEXT,
    colorhash TEXT,
    image_width INTEGER,
    image_height INTEGER,
    upscaled_width INTEGER,
    upscaled_height INTEGER,
    ingested_at TIMESTAMP
);
CREATE TABLE tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    category TEXT,
    extended_category TEXT
);
CREATE TABLE image_tags (
    image_id INTEGER REFERENCES images(id) ON DELETE CASCADE,
    tag_id INTEGER REFERENCES tags(id) ON DELETE CASCADE,
    source TEXT DEFAULT 'original' CHECK (source IN ('original', 'user', 'ai_inference', 'implication')),
    PRIMARY KEY (image_id, tag_id)
);
CREATE TABLE sources (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE image_sources (
    image_id INTEGER REFERENCES images(id) ON DELETE CASCADE,
    source_id INTEGER REFERENCES sources(id) ON DELETE CASCADE,
    PRIMARY KEY (image_id, source_id)
);
CREATE TABLE raw_metadata (
    image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,
    data TEXT NOT NULL
);
CREATE TABLE pools (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    description TEXT
);
CREATE TABLE pool_images (
    pool_id INTEGER REFERENCES pools(id) ON DELETE CASCADE,
    image_id INTEGER REFERENCES images(id) ON DELETE CASCADE,
    sort_order INTEGER,
    PRIMARY KEY (pool_id, image_id)
);
CREATE TABLE favourites (
    image_id INTEGER PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE tag_implications (
    source_tag_id INTEGER REFERENCES tags(id) ON DELETE CASCADE,
    implied_tag_id INTEGER REFERENCES tags(id) ON DELETE CASCADE,
    inference_type TEXT DEFAULT 'manual',
    confidence REAL DEFAULT 1.0,
    created_at TIMESTAMP,
    status TEXT DEFAULT 'active',
    PRIMARY KEY (source_tag_id, implied_tag_id)
);
CREATE TABLE tag_deltas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_md5 TEXT NOT NULL,
    tag_name TEXT NOT NULL,
    tag_category TEXT,
    operation TEXT NOT NULL CHECK (operation IN ('add', 'remove')),
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (image_md5, tag_name, operation)
);
CREATE TABLE local_tagger_predictions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    tag_name TEXT NOT NULL,
    category TEXT,
    confidence REAL NOT NULL,
    tagger_version TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (image_id, tag_name)
);
CREATE TABLE image_relations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id_a INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    image_id_b INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    relation_type TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT 'manual',
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (image_id_a, image_id_b, relation_type)
);
CREATE TABLE duplicate_pairs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id_a INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    image_id_b INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    distance INTEGER NOT NULL,
    threshold INTEGER NOT NULL,
    computed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (image_id_a, image_id_b)
);
CREATE TABLE duplicate_pair_suggestions (
    image_id_a INTEGER,
    image_id_b INTEGER,
    signal REAL NOT NULL,
    visual_signal REAL NOT NULL,
    metadata_adjustment REAL NOT NULL,
    mean_abs_diff REAL NOT NULL,
    changed_ratio REAL NOT NULL,
    largest_blob_ratio REAL NOT NULL,
    blob_count INTEGER,
    peak_blob_contrast REAL NOT NULL,
    mask_mismatch REAL NOT NULL,
    pixel_ratio REAL NOT NULL,
    filesize_ratio REAL NOT NULL,
    tag_gap_ratio REAL NOT NULL,
    computed_at TIMESTAMP,
    PRIMARY KEY (image_id_a, image_id_b)
);
CREATE TABLE similar_images_cache (
    source_image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    similar_image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    similarity_score REAL NOT NULL,
    similarity_type TEXT NOT NULL,
    rank INTEGER NOT NULL,
    computed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (source_image_id, similar_image_id, similarity_type)
);
CREATE TABLE config_store (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE VIRTUAL TABLE images_fts USING fts5(
    filepath, tags_all, tags_character, tags_copyright, tags_artist, tags_species, tags_meta, tags_general
);
CREATE TRIGGER images_fts_insert AFTER INSERT ON images BEGIN
    INSERT INTO images_fts(filepath, tags_all, tags_character, tags_copyright, tags_artist, tags_species,
        tags_meta, tags_general)
    VALUES (new.filepath,
        COALESCE(new.tags_character, '') || ' ' || COALESCE(new.tags_copyright, '') || ' ' ||
        COALESCE(new.tags_artist, '') || ' ' || COALESCE(new.tags_species, '') || ' ' ||
        COALESCE(new.tags_meta, '') || ' ' || COALESCE(new.tags_general, ''),
        COALESCE(new.tags_character, ''), COALESCE(new.tags_copyright, ''), COALESCE(new.tags_artist, ''),
        COALESCE(new.tags_species, ''), COALESCE(new.tags_meta, ''), COALESCE(new.tags_general, ''));
END;
CREATE TRIGGER images_fts_update AFTER UPDATE ON images BEGIN
    DELETE FROM images_fts WHERE filepath = old.filepath;
    INSERT INTO images_fts(filepath, tags_all, tags_character, tags_copyright, tags_artist, tags_species,
        tags_meta, tags_general)
    VALUES (new.filepath,
        COALESCE(new.tags_character, '') || ' ' || COALESCE(new.tags_copyright, '') || ' ' ||
        COALESCE(new.tags_artist, '') || ' ' || COALESCE(new.tags_species, '') || ' ' ||
        COALESCE(new.tags_meta, '') || ' ' || COALESCE(new.tags_general, ''),
        COALESCE(new.tags_character, ''), COALESCE(new.tags_copyright, ''), COALESCE(new.tags_artist, ''),
        COALESCE(new.tags_species, ''), COALESCE(new.tags_meta, ''), COALESCE(new.tags_general, ''));
END;
CREATE TRIGGER images_fts_delete AFTER DELETE ON images BEGIN
    DELETE FROM images_fts WHERE filepath = old.filepath;
END;
CREATE INDEX idx_images_filepath ON images(filepath);
CREATE INDEX idx_images_md5 ON images(md5);
CREATE INDEX idx_images_post_id ON images(post_id);
CREATE INDEX idx_images_parent_id ON images(parent_id);
CREATE INDEX idx_images_has_children ON images(has_children);
CREATE INDEX idx_images_active_source ON images(active_source);
CREATE INDEX idx_images_relationships ON images(parent_id, has_children);
CREATE INDEX idx_images_ingested_at ON images(ingested_at DESC);
CREATE INDEX idx_images_score ON images(score DESC);
CREATE INDEX idx_images_fav_count ON images(fav_count DESC);
CREATE INDEX idx_images_phash ON images(phash);
CREATE INDEX idx_images_colorhash ON images(colorhash);
CREATE INDEX idx_tags_name ON tags(name);
CREATE INDEX idx_tags_name_lower ON tags(LOWER(name));
CREATE INDEX idx_tags_category ON tags(category);
CREATE INDEX idx_tags_extended_category ON tags(extended_category);
CREATE INDEX idx_image_tags_image_id ON image_tags(image_id);
CREATE INDEX idx_image_tags_tag_id ON image_tags(tag_id);
CREATE INDEX idx_image_tags_source ON image_tags(source);
CREATE INDEX idx_image_sources_image_id ON image_sources(image_id);
CREATE INDEX idx_image_sources_source_id ON image_sources(source_id);
CREATE INDEX idx_raw_metadata_image_id ON raw_metadata(image_id);
CREATE INDEX idx_tag_implications_source ON tag_implications(source_tag_id);
CREATE INDEX idx_tag_implications_status ON tag_implications(status);
CREATE INDEX idx_tag_deltas_md5 ON tag_deltas(image_md5);
CREATE INDEX idx_predictions_image_id ON local_tagger_predictions(image_id);
CREATE INDEX idx_predictions_confidence ON local_tagger_predictions(confidence);
CREATE INDEX idx_predictions_tag_name ON local_tagger_predictions(tag_name);
CREATE INDEX idx_image_relations_a ON image_relations(image_id_a);
CREATE INDEX idx_image_relations_b ON image_relations(image_id_b);
CREATE INDEX idx_image_relations_type ON image_relations(relation_type);
CREATE INDEX idx_image_relations_pair ON image_relations(image_id_a, image_id_b);
CREATE INDEX idx_duplicate_pairs_distance ON duplicate_pairs(distance);
CREATE INDEX idx_duplicate_pairs_threshold ON duplicate_pairs(threshold, distance);
CREATE INDEX idx_duplicate_pairs_a ON duplicate_pairs(image_id_a);
CREATE INDEX idx_duplicate_pairs_b ON duplicate_pairs(image_id_b);
CREATE INDEX idx_suggestions_signal ON duplicate_pair_suggestions(signal);
CREATE INDEX idx_suggestions_computed_at ON duplicate_pair_suggestions(computed_at);
CREATE INDEX idx_similar_cache_source ON similar_images_cache(source_image_id, similarity_type, rank);
CREATE INDEX idx_similar_cache_computed_at ON similar_images_cache(computed_at);
