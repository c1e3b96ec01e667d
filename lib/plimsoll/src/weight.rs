//! What a value weighs in bytes, so that queues and batches can be bounded in bytes.

/// What a value weighs: its own bytes and those it holds on the heap, capacity and not length.
/// Queues of a [pipeline](crate::stream::Pipeline) and [batches](crate::batches) are bounded by the
/// sum; what an implementation leaves out isn't bounded. O(1) for the implementations here. What the
/// allocator adds to each block (8 to 16 bytes under glibc) isn't counted.
///
/// ```
/// use plimsoll::Weigh;
///
/// struct Page {
///     number: u32,
///     pixels: Vec<u8>,
/// }
///
/// impl Weigh for Page {
///     fn weight_bytes(&self) -> usize {
///         size_of::<Page>() + self.pixels.capacity()
///     }
/// }
/// # let page = Page { number: 1, pixels: vec![0; 100] };
/// # assert_eq!(page.weight_bytes(), size_of::<Page>() + 100 + 0 * page.number as usize);
/// ```
pub trait Weigh {
    /// Bytes of this value, heap included. It must not change while the value is in a queue.
    fn weight_bytes(&self) -> usize;
}

impl Weigh for Vec<u8> {
    fn weight_bytes(&self) -> usize {
        size_of::<Vec<u8>>() + self.capacity()
    }
}

impl Weigh for Box<[u8]> {
    fn weight_bytes(&self) -> usize {
        size_of::<Box<[u8]>>() + self.len()
    }
}

impl Weigh for String {
    fn weight_bytes(&self) -> usize {
        size_of::<String>() + self.capacity()
    }
}

macro_rules! flat {
    ($($type:ty),*) => {
        $(impl Weigh for $type {
            fn weight_bytes(&self) -> usize {
                size_of::<$type>()
            }
        })*
    };
}

flat!(
    (),
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize
);
