//! Reads text files as `kubectl` does: UTF-8, or UTF-16 with a byte order mark.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// Why a text file cannot be read, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// The operating system refuses the access.
    #[error("{0}; must be a file that you may read")]
    Read(#[from] io::Error),
    /// It is a folder.
    #[error("it is a folder; name its files, such as {0}/*.yaml")]
    Folder(String),
    /// It is not text.
    #[error("line {line} is not {encoding}; save the file as UTF-8")]
    NotText {
        /// The first line that cannot be read.
        line: usize,
        /// The expected encoding.
        encoding: &'static str,
    },
}

/// Returns the text of the file at `path`; `-` is standard input.
///
/// # Errors
/// When it cannot be read or is not text.
pub fn read(path: &Path) -> Result<String, TextFileError> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        return decode(bytes);
    }
    if path.is_dir() {
        return Err(TextFileError::Folder(path.display().to_string().trim_end_matches('/').to_owned()));
    }
    decode(fs::read(path)?)
}

/// Returns the decoded content of a file, without its byte order mark.
///
/// # Errors
/// When it is not text.
pub fn decode(bytes: Vec<u8>) -> Result<String, TextFileError> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        let is_whole = bytes.len().is_multiple_of(2);
        String::from_utf16(&units).ok().filter(|_| is_whole).ok_or_else(|| {
            let read = char::decode_utf16(units).take_while(Result::is_ok).flatten();
            TextFileError::NotText { line: lines(read), encoding: "UTF-16" }
        })
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest.to_vec()),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, TextFileError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let read = String::from_utf8_lossy(valid);
        TextFileError::NotText { line: lines(read.chars()), encoding: "UTF-8" }
    })
}

/// Returns the number of the line at the end of `read`.
fn lines(read: impl Iterator<Item = char>) -> usize {
    read.filter(|character| *character == '\n').count().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, String> {
        decode(bytes.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn utf_8_and_marked_utf_16_are_text() {
        assert_eq!(decoded("plan: größe\n".as_bytes()).as_deref(), Ok("plan: größe\n"));
        assert_eq!(decoded(b"\xef\xbb\xbfa: 1").as_deref(), Ok("a: 1"));
        assert_eq!(decoded(b"\xff\xfea\0:\0 \0\x31\0").as_deref(), Ok("a: 1"));
        assert_eq!(decoded(b"\xfe\xff\0a\0:\0 \0\x31").as_deref(), Ok("a: 1"));
    }

    #[test]
    fn a_file_that_is_not_text_is_refused_with_its_line() {
        let refused = decoded(b"a: 1\nb: \xff\n").expect_err("is not text");
        assert_eq!(refused, "line 2 is not UTF-8; save the file as UTF-8");
        let refused = decoded(b"\xff\xfea\0\n\0\x31").expect_err("is cut off");
        assert_eq!(refused, "line 2 is not UTF-16; save the file as UTF-8");
    }

    #[test]
    fn a_folder_is_refused_with_what_to_name_instead() {
        let refused = read(Path::new("/")).expect_err("is a folder").to_string();
        assert!(refused.starts_with("it is a folder; name its files"), "{refused}");
    }
}
