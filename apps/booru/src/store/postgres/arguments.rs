//! A command line that anyone may read has no password for longer than it takes to read it.

use std::fs;

/// Overwrites passwords of addresses in what `ps` shows of this process. For the start of a program, once its
/// arguments are read: those that are asked for later have the signs put in their place. What can't be
/// found is left.
pub fn hide_passwords() {
    let has_one = std::env::args_os().any(|one| is_address(one.as_encoded_bytes()));
    let Some((start, end)) = has_one.then(place_of_arguments).flatten() else {
        return;
    };
    if start == 0 || end <= start {
        return;
    }
    // SAFETY: the kernel put the arguments there, in memory that is this process's own, writable and never
    // moved (proc_pid_stat(5), arg_start and arg_end). Nobody holds a reference to it: the standard
    // library copies arguments when it is asked for them, and no other thread runs yet.
    let arguments = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, end - start) };
    arguments.split_mut(|byte| *byte == 0).for_each(hide);
}

fn place_of_arguments() -> Option<(usize, usize)> {
    let state = fs::read_to_string("/proc/self/stat").ok()?;
    // The third field and those after it: the second is a name in brackets.
    let (_, fields) = state.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(48 - 3);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// In one argument: between user and host, and where it is told by name.
fn hide(argument: &mut [u8]) {
    if !is_address(argument) {
        return;
    }
    let start = find(argument, b"://").map_or(0, |start| start + 3);
    let rest = &mut argument[start..];
    if start > 0
        && let Some(end) = rest.iter().rposition(|byte| *byte == b'@')
        && let Some(colon) = rest[..end].iter().position(|byte| *byte == b':')
    {
        rest[colon + 1..end].fill(b'x');
    }
    if let Some(start) = find(rest, b"password=") {
        let value = &mut rest[start + 9..];
        let end = value.iter().position(|byte| matches!(byte, b'&' | b' '));
        let end = end.unwrap_or(value.len());
        value[..end].fill(b'x');
    }
}

/// It, or what a flag has behind its `=`.
fn is_address(argument: &[u8]) -> bool {
    let value = match argument.starts_with(b"--") {
        true => find(argument, b"=").map_or(argument, |equals| &argument[equals + 1..]),
        false => argument,
    };
    let begins = value
        .get(..8)
        .is_some_and(|begin| begin.eq_ignore_ascii_case(b"postgres"));
    begins || find(argument, b"password=").is_some()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_and_nothing_else() {
        let check = |argument: &str, shown: &str| {
            let mut bytes = argument.as_bytes().to_vec();
            hide(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), shown);
        };
        check(
            "postgres://me:abc@host:5432/b",
            "postgres://me:xxx@host:5432/b",
        );
        check("postgres://me@host:5432/b", "postgres://me@host:5432/b");
        check(
            "postgresql:///b?password=abc&host=/run",
            "postgresql:///b?password=xxx&host=/run",
        );
        check("Postgres://me:a@bc@host/b", "Postgres://me:xxxx@host/b");
        check(
            "host=/run password=abc user=me",
            "host=/run password=xxx user=me",
        );
        check(
            "--from=postgres://me:abc@host/b",
            "--from=postgres://me:xxx@host/b",
        );
        check("--from=a://b:c@d", "--from=a://b:c@d");
        check("a:b@c", "a:b@c");
        check("postgres", "postgres");
    }

    #[test]
    fn the_arguments_of_this_process_are_where_they_are_looked_for() {
        let (start, end) = place_of_arguments().unwrap();
        assert_eq!(end - start, fs::read("/proc/self/cmdline").unwrap().len());
    }
}
