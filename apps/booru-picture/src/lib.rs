//! Pictures of an image board: read within limits, resized as Pillow does, hashed as imagehash does.
