//! The descendants of a process, as the kernel lists the children of each thread.
//!
//! Cost: four system calls a thread, and a word for each process found. A recorder asks several times
//! a second, so that nothing is called that need not be.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use crate::processes::{ProcDirectory, list_pids, pids_in};
use crate::stat::parse_stat;

/// A page: the kernel gives no more of such a file at once.
const BUFFER_BYTES: usize = 4096;

/// All descendants of `pid`, itself not included, parents before their children. Empty when it has
/// none or is gone. A child that its own parent left behind (daemons) belongs to init, not here.
///
/// A child that still uses its parent's memory is not listed: between vfork(2) or posix_spawn(3) and
/// its exec it would count that memory twice.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    find(pid, |parent, child| !share_memory(parent, child))
}

/// The same with those that still use their parent's memory: for who ends them all.
#[must_use]
pub fn all_descendants(pid: u32) -> Vec<u32> {
    find(pid, |_, _| true)
}

fn find(pid: u32, counts: impl Fn(u32, u32) -> bool) -> Vec<u32> {
    // CONFIG_PROC_CHILDREN: proc_tid_children(5).
    static KERNEL_LISTS_CHILDREN: LazyLock<bool> =
        LazyLock::new(|| Path::new("/proc/thread-self/children").exists());
    let mut buffer = [0; BUFFER_BYTES];
    let by_parent = (!*KERNEL_LISTS_CHILDREN).then(children_by_parent);
    walk_down(pid, |parent| {
        let mut children = match &by_parent {
            Some(by_parent) => by_parent.get(&parent).cloned().unwrap_or_default(),
            None => children_of_threads(parent, &mut buffer).unwrap_or_default(),
        };
        children.retain(|child| counts(parent, *child));
        children
    })
}

/// Whether two processes have one address space. False where the kernel does not tell.
fn share_memory(one: u32, other: u32) -> bool {
    /// Of include/uapi/linux/kcmp.h, see kcmp(2).
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: kcmp(2) takes numbers only and touches no memory of ours.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) };
    order == 0
}

/// Breadth first from `root`, each pid once: a pid reused while we walk can't make a loop.
fn walk_down(root: u32, mut children: impl FnMut(u32) -> Vec<u32>) -> Vec<u32> {
    let mut found = Vec::new();
    let mut queue = VecDeque::from([root]);
    while let Some(parent) = queue.pop_front() {
        for child in children(parent) {
            if child != root && !found.contains(&child) {
                found.push(child);
                queue.push_back(child);
            }
        }
    }
    found
}

/// The children of every thread of `pid`. `std::fs::read` would make two calls more for each file.
fn children_of_threads(pid: u32, buffer: &mut [u8]) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in pids_in(&format!("/proc/{pid}/task"))? {
        let file = File::open(format!("/proc/{pid}/task/{thread}/children"));
        match file.and_then(|mut file| read_children(&mut file, buffer, &mut children)) {
            Ok(()) => {}
            // The thread ended; the kernel gave its children to another thread of the process.
            Err(_) if thread != pid => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}

/// Reads pids with a blank after each. One that a buffer cuts goes on in the next.
fn read_children(
    file: &mut impl io::Read,
    buffer: &mut [u8],
    children: &mut Vec<u32>,
) -> io::Result<()> {
    let mut pid: Option<u32> = None;
    loop {
        let count = match file.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for byte in &buffer[..count] {
            match byte {
                b'0'..=b'9' => {
                    let digit = u32::from(byte - b'0');
                    pid = Some(pid.unwrap_or(0).wrapping_mul(10).wrapping_add(digit));
                }
                _ => children.extend(pid.take()),
            }
        }
        if count == 0 {
            children.extend(pid);
            return Ok(());
        }
    }
}

fn children_by_parent() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let Ok(mut directory) = ProcDirectory::open() else {
        return children;
    };
    for pid in list_pids().unwrap_or_default() {
        let stat = directory.enter(pid).and_then(|process| {
            let text = directory.read(&process, c"stat")?;
            parse_stat(text).ok_or(io::ErrorKind::InvalidData.into())
        });
        if let Ok(stat) = stat {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    children
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::processes::find_by_name;

    /// A child that is ended when the test is over.
    struct Guard(Child);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Ends the grandchild also when an assertion fails; its parent, the shell, has not reaped it.
    struct KillOnDrop(u32);

    impl Drop for KillOnDrop {
        fn drop(&mut self) {
            // SAFETY: kill(2) touches no memory.
            unsafe { libc::kill(self.0.cast_signed(), libc::SIGKILL) };
        }
    }

    #[test]
    fn both_ways_find_two_generations() {
        // The shell waits for its own child, so there are two generations.
        let mut shell = Guard(
            Command::new("sh")
                .args(["-c", "sleep 1000 >/dev/null 2>&1 & echo $!; wait"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut line = String::new();
        let output = shell.0.stdout.take().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(output), &mut line).unwrap();
        let sleeper: u32 = line.trim().parse().unwrap();
        let _end = KillOnDrop(sleeper);
        // It is forked first and becomes `sleep` after.
        while std::fs::read_to_string(format!("/proc/{sleeper}/comm")).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        let by_children = descendants(std::process::id());
        assert!(by_children.contains(&shell.0.id()) && by_children.contains(&sleeper));
        let children = children_by_parent();
        let by_parent = walk_down(shell.0.id(), |pid| {
            children.get(&pid).cloned().unwrap_or_default()
        });
        assert_eq!(by_parent, [sleeper]);
        assert!(
            find_by_name("sleep")
                .unwrap()
                .iter()
                .any(|found| found.id.pid == sleeper)
        );
    }

    #[test]
    fn pids_are_read_over_the_ends_of_a_buffer() {
        for size in 1..12 {
            let mut children = Vec::new();
            let mut text = &b"5729 12 4194304 "[..];
            read_children(&mut text, &mut vec![0; size], &mut children).unwrap();
            assert_eq!(children, [5729, 12, 4_194_304], "{size} bytes at once");
        }
    }

    extern "C" fn wait_for_signal(_: *mut libc::c_void) -> libc::c_int {
        let nothing = std::ptr::null::<u8>();
        // SAFETY: ppoll(2) of no descriptors, with no limits: waits and touches no memory.
        unsafe { libc::syscall(libc::SYS_ppoll, nothing, 0, nothing, nothing, 0) };
        0
    }

    /// As it is between vfork and exec.
    #[test]
    fn a_child_in_its_parent_s_memory_is_no_process_of_its_own() {
        let mut stack = vec![0_u128; 4096];
        let flags = libc::CLONE_VM | libc::SIGCHLD;
        // SAFETY: the stack is the child's alone and outlives it; it is killed and waited for below.
        let child = unsafe {
            let top = stack.as_mut_ptr_range().end.cast();
            libc::clone(wait_for_signal, top, flags, std::ptr::null_mut())
        };
        assert!(child > 0, "{}", io::Error::last_os_error());
        let this_process = std::process::id();
        let told = share_memory(this_process, this_process);
        let listed = descendants(this_process).contains(&child.cast_unsigned());
        // SAFETY: the child is ours and not waited for yet.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        if told {
            assert!(!listed);
        } else {
            eprintln!("skipped: this kernel has no kcmp(2)");
        }
    }

    #[test]
    fn a_loop_of_parents_ends() {
        assert_eq!(walk_down(1, |pid| vec![pid % 3 + 1]), [2, 3]);
    }

    #[test]
    fn who_is_not_there_has_none() {
        assert_eq!(descendants(4_194_305), []);
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_children(&mut &text[..], &mut [0; 16], &mut Vec::new());
        }
    }
}
