//! Sizes and rates as people write them.

/// `512`, `512B`, `64k`, `16M`, `16MiB`, `1.5G`: steps of 1024, as rclone counts.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{text:?} is no size: a number with B, K, M, G or T (steps of 1024) is, such as 16M"
        )
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let bytes = number * f64::from(1u32 << (shift / 2)) * f64::from(1u32 << (shift - shift / 2));
    if bytes >= 1e18 {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// A size, or the name of a preset.
pub(crate) fn parse_budget(text: &str) -> Result<u64, String> {
    match text.to_ascii_lowercase().as_str() {
        "low" => Ok(16 << 20),
        "balanced" => Ok(32 << 20),
        "high" => Ok(64 << 20),
        _ => parse_bytes(text).map_err(|why| format!("{why}; or low, balanced or high")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64k", 64 << 10),
            ("16M", 16 << 20),
            ("16 MiB", 16 << 20),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1X", "1.2.3", "1e3", "999999999T", "off"] {
            let error = parse_bytes(text).unwrap_err();
            assert!(error.contains("is no size"), "{error}");
        }
        assert_eq!(parse_budget("Low"), Ok(16 << 20));
        assert_eq!(parse_budget("balanced"), Ok(32 << 20));
        assert_eq!(parse_budget("high"), Ok(64 << 20));
        assert!(parse_budget("huge").unwrap_err().contains("or low"));
    }
}
