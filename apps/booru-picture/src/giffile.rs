//! A GIF file's blocks (GIF89a), as far as the second frame: whether there is one, and how large the first is.

use std::io::{BufRead, Read};

use anyhow::{Result, bail};

use crate::kind::pixels;

pub(crate) struct Found {
    pub(crate) is_animated: bool,
    /// Of the first frame, which may be larger than the whole picture.
    pub(crate) frame_pixels: u64,
}

/// From the start of the file. One that ends early has the frames that have begun.
pub(crate) fn look(file: &mut impl BufRead) -> Result<Found> {
    let mut screen = [0; 13];
    file.read_exact(&mut screen)?;
    skip(file, table_bytes(screen[10]))?;
    let mut frames = 0;
    let mut frame_pixels = 0;
    while frames < 2 {
        let mut kind = [0];
        match file.read(&mut kind)? {
            0 if frames == 0 => bail!("it ends before its first frame"),
            0 => break,
            _ => {}
        }
        match kind[0] {
            b',' => {
                let mut frame = [0; 9];
                if file.read_exact(&mut frame).is_err() {
                    break;
                }
                let side = |at: usize| u32::from(u16::from_le_bytes([frame[at], frame[at + 1]]));
                if frames == 0 {
                    frame_pixels = pixels(side(4), side(6));
                }
                frames += 1;
                // And the byte that tells the size of codes.
                skip(file, table_bytes(frame[8]) + 1)?;
                skip_blocks(file)?;
            }
            b'!' => {
                skip(file, 1)?;
                skip_blocks(file)?;
            }
            _ => break,
        }
    }
    Ok(Found {
        is_animated: frames > 1,
        frame_pixels,
    })
}

/// Of the table of colours that the flags announce.
fn table_bytes(flags: u8) -> u64 {
    match flags & 0x80 != 0 {
        true => 3 << ((flags & 7) + 1),
        false => 0,
    }
}

fn skip_blocks(file: &mut impl BufRead) -> Result<()> {
    let mut length = [0];
    while file.read(&mut length)? == 1 && length[0] != 0 {
        skip(file, length[0].into())?;
    }
    Ok(())
}

/// The end of the file is where it is, however far is to go.
fn skip(file: &mut impl BufRead, bytes: u64) -> Result<()> {
    std::io::copy(&mut file.take(bytes), &mut std::io::sink())?;
    Ok(())
}
