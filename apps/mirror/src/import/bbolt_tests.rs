use super::*;
use proptest::prelude::*;

/// Written by bbolt: testing/bbolt-cache.
const STATUSES: &[u8] = include_bytes!("../../tests/fixtures/bbolt-statuses.db");
const SITE: &[u8] = include_bytes!("../../tests/fixtures/bbolt-site.db");
const MANY: &[u8] = include_bytes!("../../tests/fixtures/bbolt-many.db");

/// Keys and lengths of values; buckets have none.
fn read(bytes: &[u8], bucket: &str) -> Result<Vec<(String, Option<usize>)>> {
    let database = Database::open(bytes)?;
    let mut entries = database.bucket(bucket.as_bytes())?;
    let mut found = Vec::new();
    while entries.advance()? {
        let length = (!entries.is_bucket()).then(|| entries.value().len());
        found.push((entries.key().escape_ascii().to_string(), length));
    }
    assert!(!entries.advance()? && entries.value().is_empty());
    Ok(found)
}

fn sum_meta(bytes: &mut [u8], page: usize) {
    let at = page + PAGE_HEADER_BYTES;
    let sum = fnv_1a(&bytes[at..at + 56]).to_le_bytes();
    bytes[at + 56..at + 64].copy_from_slice(&sum);
}

/// With a number of the newer meta page changed, and its checksum right.
fn with_meta(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let page_bytes = u32_at(&bytes, PAGE_HEADER_BYTES + 8) as usize;
    for page in [0, page_bytes] {
        let at = page + PAGE_HEADER_BYTES + at;
        bytes[at..at + value.len()].copy_from_slice(value);
        sum_meta(&mut bytes, page);
    }
    bytes
}

fn error(bytes: &[u8]) -> String {
    format!("{:#}", read(bytes, "files").unwrap_err())
}

#[test]
fn what_bbolt_wrote_is_read_in_order() {
    let statuses = read(STATUSES, "files").unwrap();
    let keys: Vec<&str> = statuses.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "../escape",
        "a/deleted",
        "a/error",
        "a/new",
        "a/no-hash",
        "a/parts",
        "a/synced",
        "a/temp-deleted",
        "b//double",
        "b/json",
        "b/nested",
        "b/size",
        "b/status",
        "c/long",
        r"\xc3\xa4/\xe6\x97\xa5\xe6\x9c\xac & <x>",
    ];
    assert_eq!(keys, expected);
    assert_eq!(statuses[10].1, None, "a bucket");
    assert!(statuses[13].1.unwrap() > 4800, "a value over several pages");
    // A bucket in the page of another.
    let site = read(SITE, "files").unwrap();
    let keys: Vec<&str> = site.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "changed", "deleted", "failed", "gone", "lied", "new", "same", "seen",
    ];
    assert_eq!(keys, expected);
    let one = read(STATUSES, "another").unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].0, "not-this");

    // 28 keys, and every tenth deleted: 0, 10 and 20.
    let many = read(MANY, "files").unwrap();
    assert_eq!(many.len(), 25);
    let numbers = many.iter().map(|(key, _)| {
        let at = key.find("original-").unwrap() + 9;
        key[at..at + 8].parse::<usize>().unwrap()
    });
    let expected = (0..28).filter(|number| number % 10 != 0);
    assert!(numbers.eq(expected), "{many:?}");
}

#[test]
fn what_is_no_database_is_told() {
    for bytes in [&b""[..], b"short", &[0; 100_000]] {
        assert!(
            error(bytes).contains("no bbolt database"),
            "{}",
            error(bytes)
        );
    }
    let cut = error(&MANY[..MANY.len() / 2]);
    assert!(cut.contains("it is cut off: it has 16384 bytes"), "{cut}");
    let other = error(&with_meta(MANY, 4, &3_u32.to_le_bytes()));
    assert!(
        other.contains("bbolt's format 3, and 2 is known"),
        "{other}"
    );
    let page = error(&with_meta(MANY, 8, &1000_u32.to_le_bytes()));
    assert!(page.contains("said to have 1000 bytes"), "{page}");
    let name = format!("{:#}", read(STATUSES, "none").unwrap_err());
    assert!(
        name.contains(r#"no bucket "none", but "another", "files""#),
        "{name}"
    );
}

#[test]
fn one_damaged_meta_page_is_done_without() {
    let page_bytes = u32_at(MANY, PAGE_HEADER_BYTES + 8) as usize;
    assert!(!Database::open(MANY).unwrap().is_fallback());
    let transaction = |page: usize| u64_at(MANY, page + PAGE_HEADER_BYTES + 48);
    let newer = if transaction(0) > transaction(page_bytes) {
        0
    } else {
        page_bytes
    };
    let whole = read(MANY, "files").unwrap();
    for page in [0, page_bytes] {
        let mut bytes = MANY.to_vec();
        bytes[page + 30] ^= 1;
        assert!(Database::open(&bytes[..]).unwrap().is_fallback());
        if page != newer {
            assert_eq!(read(&bytes, "files").unwrap(), whole);
        }
        bytes[page_bytes - page + 30] ^= 1;
        assert!(error(&bytes).contains("checksum of a meta page is wrong"));
    }
}

/// The bytes of the first page of a kind, which is in use.
fn page_of(bytes: &[u8], flags: u16) -> usize {
    let page_bytes = u32_at(bytes, PAGE_HEADER_BYTES + 8) as usize;
    let root = Database::open(bytes).unwrap().meta.root;
    let mut page = root as usize * page_bytes;
    // The only entry of the root is the bucket.
    let (_, _, value) = Node::new(bytes[page..page + page_bytes].to_vec())
        .unwrap()
        .leaf_element(0)
        .unwrap();
    page = u64_at(bytes, page + value.0) as usize * page_bytes;
    while u16_at(bytes, page + 8) != flags {
        page = u64_at(bytes, page + PAGE_HEADER_BYTES + 8) as usize * page_bytes;
    }
    page
}

#[test]
fn pages_that_lead_astray_are_told() {
    let branch = page_of(MANY, BRANCH);
    let id = u64_at(MANY, branch);
    let child = |number: usize| branch + PAGE_HEADER_BYTES + number * ELEMENT_BYTES + 8;
    let with = |at: usize, value: &[u8]| {
        let mut bytes = MANY.to_vec();
        bytes[at..at + value.len()].copy_from_slice(value);
        error(&bytes)
    };
    let itself = with(child(0), &id.to_le_bytes());
    assert!(itself.contains("reached more than once"), "{itself}");
    // In a file with more pages than levels.
    let mut long = MANY.to_vec();
    long.resize(1 << 20, 0);
    let mut long = with_meta(&long, 40, &1024_u64.to_le_bytes());
    long[child(0)..child(0) + 8].copy_from_slice(&id.to_le_bytes());
    let deep = error(&long);
    assert!(deep.contains("or below itself"), "{deep}");
    for wild in [0, 1, 1 << 40, u64::MAX] {
        let wild = with(child(0), &u64::to_le_bytes(wild));
        assert!(wild.contains("are in use"), "{wild}");
    }
    let twice = with(child(1), &MANY[child(0)..child(0) + 8]);
    assert!(twice.contains("its keys do not rise"), "{twice}");
    let kind = with(branch + 8, &0x10_u16.to_le_bytes());
    assert!(kind.contains("no branch and no leaf"), "{kind}");
    let other = with(branch, &7777_u64.to_le_bytes());
    assert!(other.contains("it says that it is another"), "{other}");
    let leaf = page_of(MANY, LEAF);
    for overflow in [1000_u32, u32::MAX] {
        let long = with(leaf + 12, &overflow.to_le_bytes());
        assert!(long.contains("pages are said to belong to it"), "{long}");
    }
    let count = with(leaf + 10, &u16::MAX.to_le_bytes());
    assert!(count.contains("that it counts"), "{count}");
    for field in [4, 8, 12] {
        let far = with(leaf + PAGE_HEADER_BYTES + field, &u32::MAX.to_le_bytes());
        assert!(far.contains("an element is said to be at"), "{far}");
    }
    let into_elements = with(leaf + PAGE_HEADER_BYTES + 4, &0_u32.to_le_bytes());
    assert!(into_elements.contains("an element is said to be at"));
}

/// Empty pages have no keys that would fail to rise: they are counted.
#[test]
fn a_page_reached_without_end_is_told() {
    let leaf = page_of(MANY, LEAF);
    let branch = page_of(MANY, BRANCH);
    let mut bytes = MANY.to_vec();
    bytes[leaf + 10..leaf + 12].copy_from_slice(&[0, 0]);
    let id = u64_at(&bytes, leaf);
    // Every child of a long branch is the empty leaf.
    let count = (1024 - PAGE_HEADER_BYTES) / ELEMENT_BYTES;
    bytes[branch + 10..branch + 12].copy_from_slice(&(count as u16).to_le_bytes());
    for number in 0..count {
        let at = branch + PAGE_HEADER_BYTES + number * ELEMENT_BYTES + 8;
        bytes[at..at + 8].copy_from_slice(&id.to_le_bytes());
    }
    let told = error(&bytes);
    assert!(told.contains("reached more than once"), "{told}");
}

fn strange(whole: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let change = (0..whole.len(), any::<u8>());
    // Bytes that matter are in the first of each 1 KiB.
    let near = (0..whole.len() / 1024, 0..64_usize, any::<u8>())
        .prop_map(|(page, at, byte)| (page * 1024 + at, byte));
    let changes = proptest::collection::vec(prop_oneof![change, near], 1..8);
    (changes, any::<bool>()).prop_map(move |(changes, is_summed)| {
        let mut bytes = whole.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if is_summed {
            for page in [0, 1024, 4096] {
                sum_meta(&mut bytes, page);
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Damage is an error, or gives keys in order and no more of them than there is room for.
    #[test]
    fn damage_never_panics_or_goes_on_for_ever(
        bytes in prop_oneof![strange(MANY), strange(STATUSES), strange(SITE)]
    ) {
        if let Ok(found) = read(&bytes, "files") {
            prop_assert!(found.len() <= bytes.len() / ELEMENT_BYTES);
        }
    }

    #[test]
    fn bytes_of_others_are_no_database(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes, "files").is_err());
    }
}
