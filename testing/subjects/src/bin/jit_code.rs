//! Writes `--mib N` of machine code into anonymous memory, makes it executable, and calls it.
//!
//! Each page holds a function that returns its own number. On machines other than x86-64 and
//! AArch64 the pages are written and made executable, but not called.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, page_bytes};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 8)?;
    let region = Region::anonymous_in_small_pages(bytes)?;
    for (number, offset) in (0..bytes).step_by(page_bytes()).enumerate() {
        region.write(offset, &function_returning(u16::try_from(number % 60_000)?));
    }
    region.protect(0..bytes, libc::PROT_READ | libc::PROT_EXEC)?;
    let called = call_each_page(&region)?;
    stage::ready(&json!({
        "address": region.address(),
        "anon_bytes": bytes,
        "executable_bytes": bytes,
        "called": called,
    }))?;
    stage::wait()?;
    Ok(())
}

/// `mov eax, number; ret`.
#[cfg(target_arch = "x86_64")]
fn function_returning(number: u16) -> [u8; 6] {
    let [low, high] = number.to_le_bytes();
    [0xB8, low, high, 0, 0, 0xC3]
}

/// `movz w0, #number; ret`.
#[cfg(not(target_arch = "x86_64"))]
fn function_returning(number: u16) -> [u8; 8] {
    let [a, b, c, d] = (0x5280_0000_u32 | (u32::from(number) << 5)).to_le_bytes();
    [a, b, c, d, 0xC0, 0x03, 0x5F, 0xD6]
}

#[cfg(target_arch = "x86_64")]
fn call_each_page(region: &Region) -> Result<usize, Box<dyn std::error::Error>> {
    let mut called = 0;
    for (number, offset) in (0..region.length()).step_by(page_bytes()).enumerate() {
        let address = (region.address() + offset) as *const ();
        // SAFETY: the page holds a complete function of this signature, just written and made
        // executable; x86-64 keeps instruction fetches coherent with stores.
        let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(address) };
        let returned = function();
        if returned as usize != number % 60_000 {
            return Err(format!("function {number} returned {returned}").into());
        }
        called += 1;
    }
    Ok(called)
}

/// Other machines need their instruction caches flushed first, for which std has no call.
#[cfg(not(target_arch = "x86_64"))]
fn call_each_page(_: &Region) -> Result<usize, Box<dyn std::error::Error>> {
    Ok(0)
}
