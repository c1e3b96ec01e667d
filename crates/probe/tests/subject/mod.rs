//! Children of known memory: the test binary started again with a scenario.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use plimsoll_model::{Backing, Mapping};

const SCENARIO: &str = "PLIMSOLL_PROBE_SCENARIO";
const MIB: usize = 1 << 20;

/// A running child. It ends when this is dropped.
pub(crate) struct Subject {
    pub(crate) pid: u32,
    facts: BTreeMap<String, String>,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Kept open, so that the child can print its last words.
    output: BufReader<ChildStdout>,
}

impl Subject {
    /// Starts the scenario and waits until it has mapped everything and sleeps.
    #[expect(
        clippy::zombie_processes,
        reason = "a child that fails to start ends the whole test run"
    )]
    pub(crate) fn start(scenario: &str) -> Subject {
        let program = std::env::current_exe().expect("the test binary");
        let mut child = Command::new(program)
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(SCENARIO, scenario)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary starts again");
        let stdin = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut facts = BTreeMap::new();
        let mut line = String::new();
        while output.read_line(&mut line).expect("text from the child") > 0 {
            let text = std::mem::take(&mut line);
            let line = text.trim_end_matches('\n');
            if line == "ready" {
                wait_until_asleep(child.id());
                return Subject {
                    pid: child.id(),
                    facts,
                    child,
                    stdin,
                    output,
                };
            }
            if let Some((key, value)) = line.split_once('=') {
                // libtest prints "test child ... " without a newline before the first fact.
                let key = key.rsplit(' ').next().unwrap_or(key);
                facts.insert(key.to_owned(), value.to_owned());
            }
        }
        panic!("the child ended before it was ready");
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        &self.facts[key]
    }

    pub(crate) fn address(&self, key: &str) -> u64 {
        self.facts[key].parse().expect("a number")
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It sees the end of its input, cleans up and ends.
        drop(self.stdin.take());
        let _ = std::io::copy(&mut self.output, &mut std::io::sink());
        let _ = self.child.wait();
    }
}

/// Waits until all threads of a process sleep in a call that a signal could end (state `S`), which
/// waiting for a lock or for a page is not (`D`). From then on it brings in and gives back nothing.
pub(crate) fn wait_until_asleep(pid: u32) {
    let is_asleep = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        // The name before it may hold anything, its end bracket too.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        std::io::Result::Ok(state == Some(b'S'))
    };
    let all_asleep = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a child of ours");
        // A thread that ended meanwhile can't be read.
        tasks
            .into_iter()
            .all(|task| is_asleep(task).unwrap_or(false))
    };
    while !all_asleep() {
        std::thread::yield_now();
    }
}

/// Whether no process but the subject, and those that it forked, maps these pages.
pub(crate) fn is_its_own(mapping: &Mapping) -> bool {
    match &mapping.backing {
        Backing::File { path, .. } => path.starts_with(env!("CARGO_TARGET_TMPDIR")),
        // The vdso is every process's.
        Backing::Kernel(_) => false,
        _ => true,
    }
}

fn tell(key: &str, value: impl std::fmt::Display) {
    println!("{key}={value}");
}

pub(crate) fn run_child() {
    let Ok(scenario) = std::env::var(SCENARIO) else {
        return;
    };
    let kept = match scenario.as_str() {
        "zoo" => zoo(),
        "many" => many(),
        "fork" => fork(false),
        "fork_disguised" => fork(true),
        "apart" => apart(),
        "huge" => huge(),
        "unprivileged" => unprivileged(),
        "leader_gone" => leader_gone(),
        other => panic!("no scenario {other}"),
    };
    // Its buffer is allocated here and not in the middle of a test.
    let mut stdin = std::io::stdin().lock();
    // libtest prints "test child ... " without a newline before.
    println!("\nready");
    std::io::stdout().flush().expect("a pipe");
    // Until the parent closes the other end.
    let _ = stdin.read(&mut [0]);
    drop(kept);
}

/// What must stay until the end.
type Kept = Vec<Box<dyn std::any::Any>>;

fn page() -> usize {
    // SAFETY: sysconf takes a number and returns one.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page size")
}

fn map(length: usize, flags: i32, descriptor: i32) -> *mut u8 {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            descriptor,
            0,
        )
    };
    assert_ne!(
        start,
        libc::MAP_FAILED,
        "{}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the range that was just mapped. Small pages unless a scenario asks otherwise.
    unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
    start.cast()
}

fn anonymous(length: usize) -> *mut u8 {
    map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

/// Leaves a hole behind, so that the kernel does not join the mapping with a neighbour.
fn guarded(length: usize) -> *mut u8 {
    let start = anonymous(length + 2 * page());
    // SAFETY: the first and the last page of the mapping made above.
    unsafe {
        libc::mprotect(start.cast(), page(), libc::PROT_NONE);
        libc::mprotect(start.add(page() + length).cast(), page(), libc::PROT_NONE);
        start.add(page())
    }
}

fn write_word(start: *mut u8, at: usize, word: u64) {
    // SAFETY: callers stay within their own writable mapping, and `at` is a page's start.
    unsafe { start.add(at).cast::<u64>().write_volatile(word) };
}

fn touch(start: *mut u8, length: usize) {
    for at in (0..length).step_by(page()) {
        write_word(start, at, 1);
    }
}

fn look_at(start: *mut u8, length: usize) {
    for at in (0..length).step_by(page()) {
        // SAFETY: as in `write_word`.
        unsafe { start.add(at).read_volatile() };
    }
}

/// One mapping of each kind.
fn zoo() -> Kept {
    let sparse = guarded(256 * page());
    for number in (0..256).step_by(2) {
        write_word(sparse, number * page(), number as u64);
    }
    tell("sparse", sparse as usize);
    let zeroes = guarded(MIB);
    look_at(zeroes, MIB);
    tell("zeroes", zeroes as usize);
    let shared = map(2 * MIB, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    touch(shared, MIB);
    tell("shared_anonymous", shared as usize);
    // SAFETY: the name is a C string; the descriptor is new and owned by nobody else.
    let memfd = unsafe { File::from_raw_fd(libc::memfd_create(c"a (deleted) b".as_ptr(), 0)) };
    memfd.set_len(MIB as u64).expect("a memfd");
    let mapped = map(MIB, libc::MAP_SHARED, memfd.as_raw_fd());
    touch(mapped, MIB / 2);
    tell("memfd", mapped as usize);
    let mut kept = files();
    kept.push(Box::new(memfd));
    let (sender, receiver) = std::sync::mpsc::channel();
    let worker = std::thread::Builder::new().name("worker (1) x".into());
    worker
        .spawn(move || {
            let local = 0_u8;
            sender
                .send((&raw const local) as usize)
                .expect("the main thread");
            std::thread::park();
        })
        .expect("a thread");
    tell("stack", receiver.recv().expect("the worker"));
    kept
}

/// Files of doubtful names, on disk.
fn files() -> Kept {
    let folder = Folder::new();
    tell("folder", folder.0.display());
    let (_, file) = folder.write("shared");
    let shared = map(MIB, libc::MAP_SHARED, file.as_raw_fd());
    look_at(shared, MIB / 2);
    touch(shared, MIB / 4);
    tell("file_shared", shared as usize);
    let (_, file) = folder.write("private");
    let private = map(MIB, libc::MAP_PRIVATE, file.as_raw_fd());
    look_at(private, MIB / 2);
    touch(private, MIB / 4);
    tell("file_private", private as usize);
    let (path, file) = folder.write("gone");
    tell(
        "file_deleted",
        map(MIB, libc::MAP_SHARED, file.as_raw_fd()) as usize,
    );
    std::fs::remove_file(path).expect("our own file");
    for (key, name) in [
        ("file_named_deleted", "kept (deleted)"),
        ("file_newline", "two\nlines"),
        ("file_backslash", "back\\012slash"),
    ] {
        let (_, file) = folder.write(name);
        tell(key, map(MIB, libc::MAP_SHARED, file.as_raw_fd()) as usize);
    }
    vec![Box::new(folder)]
}

/// A folder of our own that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("probe-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }

    /// A file of 1 MiB.
    fn write(&self, name: &str) -> (PathBuf, File) {
        let path = self.0.join(name);
        std::fs::write(&path, vec![1; MIB]).expect("a file");
        let mut options = File::options();
        let file = options.read(true).write(true).open(&path).expect("a file");
        (path, file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// 20,000 mappings: pages in turn written and without permission.
fn many() -> Kept {
    const COUNT: usize = 10_000;
    let start = anonymous(2 * COUNT * page());
    for number in 0..COUNT {
        write_word(start, 2 * number * page(), 1);
        // SAFETY: the second page of a pair within the mapping made above.
        let failed = unsafe {
            libc::mprotect(
                start.add((2 * number + 1) * page()).cast(),
                page(),
                libc::PROT_NONE,
            )
        };
        assert_eq!(failed, 0, "vm.max_map_count is below 20,000");
    }
    tell("first", start as usize);
    tell("stride", 2 * page());
    tell("count", COUNT);
    Vec::new()
}

/// 64 MiB of small pages, shared with nobody.
fn apart() -> Kept {
    let start = guarded(64 * MIB);
    // SAFETY: within the mapping made above.
    unsafe { libc::madvise(start.cast(), 64 * MIB, libc::MADV_NOHUGEPAGE) };
    touch(start, 64 * MIB);
    tell("start", start as usize);
    Vec::new()
}

/// 8 MiB shared with a child by fork(2), the first half of it written again since, and a file of
/// which the child has looked at the first half too. A `disguised` child says that its stack is
/// elsewhere, where the kernel has CONFIG_CHECKPOINT_RESTORE.
fn fork(disguised: bool) -> Kept {
    let both = guarded(8 * MIB);
    touch(both, 8 * MIB);
    let folder = Folder::new();
    let (_, file) = folder.write("looked at");
    let looked_at = map(MIB, libc::MAP_SHARED, file.as_raw_fd());
    look_at(looked_at, MIB);
    let head = disguised.then(|| head_with_stack_at(both as u64));
    // SAFETY: takes nothing and returns a number.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the child reads its own memory and makes system calls, both safe after fork(2).
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        if let Some(head) = &head {
            let size = size_of_val(head);
            // SAFETY: the kernel reads `struct prctl_mm_map`, which the array is laid out as.
            unsafe { libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, head.as_ptr(), size, 0) };
        }
        look_at(looked_at, MIB / 2);
        // SAFETY: both take plain numbers. The child ends with its parent's thread, or at once
        // when that is gone already.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            while libc::getppid() == parent {
                libc::pause();
            }
            libc::_exit(0);
        }
    }
    touch(both, 4 * MIB);
    // Until then it takes pages of its own.
    wait_until_asleep(child.unsigned_abs());
    tell("both", both as usize);
    vec![Box::new(Forked(child)), Box::new(folder)]
}

/// What anybody may say of its own address space by PR_SET_MM_MAP of prctl(2): all as it is but the stack.
fn head_with_stack_at(stack: u64) -> [u64; 13] {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name")..]
        .split(' ')
        .collect();
    // Numbers as in proc_pid_stat(5).
    let field = |number: usize| fields[number - 2].parse::<u64>().expect("a number");
    // SAFETY: moves nothing.
    let brk = unsafe { libc::sbrk(0) } as u64;
    let [code, end_code] = [26, 27].map(field);
    let [data, end_data, start_brk] = [45, 46, 47].map(field);
    let [arguments, end_arguments, environment, end_environment] = [48, 49, 50, 51].map(field);
    [
        code,
        end_code,
        data,
        end_data,
        start_brk,
        brk,
        stack,
        arguments,
        end_arguments,
        environment,
        end_environment,
        // No auxiliary vector, and, in the upper half, no other program.
        0,
        u64::from(u32::MAX) << 32,
    ]
}

/// A child with a thread that holds 8 MiB and outlives the first one. It is forked because tests
/// do not run in the first thread of their process.
fn leader_gone() -> Kept {
    let held = guarded(8 * MIB);
    // SAFETY: takes nothing and returns a number.
    let parent = unsafe { libc::getpid() };
    // SAFETY: of the child's copy only the allocator is used, which glibc keeps whole over fork(2).
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        // SAFETY: both take plain numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        let held = held as usize;
        std::thread::spawn(move || {
            touch(held as *mut u8, 8 * MIB);
            // SAFETY: both take nothing; the child ends when its parent is gone.
            while unsafe { libc::getppid() } == parent {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            // SAFETY: ends the process; there is nothing to clean up.
            unsafe { libc::_exit(0) };
        });
        // SAFETY: exit(2) ends this thread alone; what it holds stays as it is.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    tell("child", child);
    tell("held", held as usize);
    vec![Box::new(Forked(child))]
}

/// Ends a forked child, which would hold our standard output open.
struct Forked(i32);

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: a child of ours that nobody else waits for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Huge pages where the system gives them: written ones, and the huge zero page.
fn huge() -> Kept {
    for written in [true, false] {
        let start = guarded(16 * MIB);
        let aligned = (start as usize).next_multiple_of(2 * MIB) - start as usize;
        // SAFETY: within the mapping made above.
        let start = unsafe { start.add(aligned) };
        // SAFETY: as above.
        unsafe { libc::madvise(start.cast(), 8 * MIB, libc::MADV_HUGEPAGE) };
        match written {
            true => touch(start, 6 * MIB + 12 * page()),
            false => look_at(start, 8 * MIB),
        }
        // A hole in a huge page, which splits its mapping. The kernel's collector of huge pages would
        // fill it again.
        // SAFETY: as above.
        unsafe {
            libc::madvise(
                start.add(2 * MIB + page()).cast(),
                page(),
                libc::MADV_DONTNEED,
            );
            libc::madvise(start.cast(), 8 * MIB, libc::MADV_NOHUGEPAGE);
        }
    }
    Vec::new()
}

/// Gives up root, then reads a process of its own and its parent.
fn unprivileged() -> Kept {
    const NOBODY: u32 = 65_534;
    // SAFETY: plain numbers. Dumpable again, so that our own /proc files are ours.
    let failed = unsafe {
        libc::setgroups(0, std::ptr::null()) != 0
            || libc::setresgid(NOBODY, NOBODY, NOBODY) != 0
            || libc::setresuid(NOBODY, NOBODY, NOBODY) != 0
            || libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) != 0
    };
    let outcome = if failed {
        "skipped: only root can become another user".to_owned()
    } else {
        match super::check_unprivileged(std::os::unix::process::parent_id()) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error,
        }
    };
    tell("outcome", outcome.replace('\n', " "));
    Vec::new()
}
