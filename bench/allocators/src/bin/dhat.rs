//! dhat: a heap profiler with the call stack of every allocation; one lock.

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    // Testing mode: figures are kept, no file is written.
    let _profiler = dhat::Profiler::builder().testing().build();
    plimsoll_allocators::run(|_, work| work());
    std::hint::black_box(dhat::HeapStats::get());
}
