//! suppaftp by its plainest call.

use anyhow::{Result, bail};
use suppaftp::FtpStream;
use suppaftp::types::FileType;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["put", port, count, bytes] = arguments[..] else {
        bail!("put PORT COUNT BYTES");
    };
    let (count, bytes): (u64, usize) = (count.parse()?, bytes.parse()?);
    let mut ftp = FtpStream::connect(format!("127.0.0.1:{port}"))?;
    ftp.login("user", "secret")?;
    ftp.transfer_type(FileType::Binary)?;
    let body = vec![b'x'; bytes];
    for number in 0..count {
        ftp.put_file(format!("suppaftp-{number}"), &mut &body[..])?;
    }
    ftp.quit()?;
    println!("{count} {}", count * bytes as u64);
    Ok(())
}
