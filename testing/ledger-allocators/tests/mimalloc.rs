//! The ledger over mimalloc: one test, as all count in one process.

use mimalloc::MiMalloc;
use plimsoll::ledger::Ledger;
use plimsoll_ledger_allocators as holds;

#[global_allocator]
static LEDGER: Ledger<MiMalloc> = Ledger::new(MiMalloc);

#[test]
fn the_ledger_is_exact_over_mimalloc() {
    holds::counts_are_exact();
    holds::layouts_are_kept(&LEDGER);
    holds::too_large_is_refused(&LEDGER);
    holds::threads_agree();
    holds::exited_threads_stay_counted();
    holds::destructors_are_counted();
    holds::a_child_goes_on(20);
}
