//! The ledger over jemalloc: one test, as all count in one process.

use plimsoll::ledger::Ledger;
use plimsoll_ledger_allocators as holds;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static LEDGER: Ledger<Jemalloc> = Ledger::new(Jemalloc);

#[test]
fn the_ledger_is_exact_over_jemalloc() {
    holds::counts_are_exact();
    holds::layouts_are_kept(&LEDGER);
    holds::too_large_is_refused(&LEDGER);
    holds::threads_agree();
    holds::exited_threads_stay_counted();
    holds::destructors_are_counted();
    holds::a_child_goes_on(20);
}
