//! Which format an archive is in, by its first bytes, and the decompressor for it.
//! Knows nothing of members.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use super::error::Trouble;
use super::rule::Rule;
use super::tar;

/// Bytes read from the file at a time.
const INPUT_BYTES: usize = 64 << 10;

/// Most memory the xz decoder may take; `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

/// Largest zstd window (as a power of two) we make room for: 128 MiB, what `zstd` takes without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tar(Compression),
    Zip,
}

/// How a tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Format {
    /// Looks at the first bytes of `file` without moving its read position.
    pub(super) fn detect(file: &File) -> Result<Self, Trouble> {
        let mut first = [0; tar::BLOCK];
        let mut length = 0;
        while length < first.len() {
            match file.read_at(&mut first[length..], length as u64).map_err(Trouble::Read)? {
                0 => break,
                count => length += count,
            }
        }
        Self::of(&first[..length]).ok_or_else(|| Rule::UnknownFormat.into())
    }

    fn of(first: &[u8]) -> Option<Self> {
        Some(match first {
            [0x1f, 0x8b, ..] => Self::Tar(Compression::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Tar(Compression::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Tar(Compression::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Tar(Compression::Zstd),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ if tar::starts_like_a_tar(first) => Self::Tar(Compression::None),
            _ => return None,
        })
    }
}

impl Compression {
    /// Reads what `raw` holds compressed, to its very end: several streams in a row count as one, zeros
    /// behind gzip, bzip2 and xz streams are ignored, anything else is an error.
    pub(super) fn decoder<'r>(self, raw: impl Read + 'r) -> Result<Box<dyn Read + 'r>, Trouble> {
        let input = BufReader::with_capacity(INPUT_BYTES, raw);
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(Concatenated::<_, flate2::bufread::GzDecoder<_>>::new(input)),
            Self::Bzip2 => Box::new(Concatenated::<_, bzip2::bufread::BzDecoder<_>>::new(input)),
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY_BYTES,
                    liblzma::stream::CONCATENATED,
                )
                .map_err(|error| Trouble::Read(error.into()))?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(Trouble::Read)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(Trouble::Read)?;
                Box::new(decoder)
            }
        })
    }
}

/// A decoder of one compressed stream, which leaves its input right behind that stream.
trait SingleStream<R>: Read {
    /// What every such stream starts with, and zero padding does not.
    const FIRST_BYTE: u8;
    fn start(input: R) -> Self;
    fn into_input(self) -> R;
}

impl<R: BufRead> SingleStream<R> for flate2::bufread::GzDecoder<R> {
    const FIRST_BYTE: u8 = 0x1f;

    fn start(input: R) -> Self {
        Self::new(input)
    }

    fn into_input(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> SingleStream<R> for bzip2::bufread::BzDecoder<R> {
    const FIRST_BYTE: u8 = b'B';

    fn start(input: R) -> Self {
        Self::new(input)
    }

    fn into_input(self) -> R {
        self.into_inner()
    }
}

/// Compressed streams one after the other, and then nothing but zeros.
enum Concatenated<R, D> {
    Inside(D),
    Between(R),
    End,
}

impl<R: BufRead, D: SingleStream<R>> Concatenated<R, D> {
    fn new(input: R) -> Self {
        Self::Inside(D::start(input))
    }
}

impl<R: BufRead, D: SingleStream<R>> Read for Concatenated<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // An error leaves `End` behind: nothing more is read after one.
            match std::mem::replace(self, Self::End) {
                Self::Inside(mut decoder) => match decoder.read(buffer)? {
                    0 if !buffer.is_empty() => *self = Self::Between(decoder.into_input()),
                    count => {
                        *self = Self::Inside(decoder);
                        return Ok(count);
                    }
                },
                Self::Between(mut input) => {
                    if input.fill_buf()?.first() == Some(&D::FIRST_BYTE) {
                        *self = Self::Inside(D::start(input));
                    } else {
                        expect_zeros(&mut input)?;
                    }
                }
                Self::End => return Ok(0),
            }
        }
    }
}

fn expect_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let rest = input.fill_buf()?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "data behind the end of the stream"));
        }
        match rest.len() {
            0 => return Ok(()),
            count => input.consume(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ::zstd::stream::encode_all(bytes, 1).unwrap()
    }

    type Encode = fn(&[u8]) -> Vec<u8>;
    const CODECS: [(Compression, Encode); 4] = [
        (Compression::Gzip, gzip),
        (Compression::Bzip2, bzip2),
        (Compression::Xz, xz),
        (Compression::Zstd, zstd),
    ];

    fn decode(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut decoded = Vec::new();
        compression
            .decoder(bytes)
            .unwrap()
            .read_to_end(&mut decoded)
            .map_err(|error| format!("{:?}", Trouble::from_decoder(error)))?;
        Ok(decoded)
    }

    #[test]
    fn streams_in_a_row_count_as_one() {
        for (compression, encode) in CODECS {
            let archive = [encode(b"one "), encode(b""), encode(b"two")].concat();
            assert_eq!(decode(compression, &archive).unwrap(), b"one two", "{compression:?}");
            assert_eq!(Format::of(&archive), Some(Format::Tar(compression)));
        }
    }

    #[test]
    fn a_stream_cut_anywhere_is_an_error() {
        for (compression, encode) in CODECS {
            let archive = encode(b"some text that is cut short");
            for length in 1..archive.len() {
                let error = decode(compression, &archive[..length]).unwrap_err();
                assert!(error.contains("Truncated"), "{compression:?} at {length}: {error}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_the_checksum_is_an_error() {
        for (compression, encode) in CODECS {
            let mut archive = encode(b"some text with a checksum");
            let length = archive.len();
            // The middle of the CRC-32 (gzip), of the combined CRC (bzip2), of the footer's CRC (xz).
            let at = match compression {
                Compression::Gzip => length - 6,
                Compression::Bzip2 => length - 3,
                Compression::Xz => length - 10,
                _ => continue,
            };
            archive[at] ^= 0x10;
            let error = decode(compression, &archive).unwrap_err();
            assert!(error.contains("Corrupt"), "{compression:?}: {error}");
        }
    }

    #[test]
    fn zeros_behind_a_stream_are_padding_and_anything_else_is_not() {
        for (compression, encode) in CODECS {
            if compression != Compression::Zstd {
                let padded = [encode(b"text"), vec![0; 1024]].concat();
                assert_eq!(decode(compression, &padded).unwrap(), b"text", "{compression:?}");
            }
            let dirty = [encode(b"text"), b"garbage that follows".to_vec()].concat();
            decode(compression, &dirty).unwrap_err();
        }
    }

    #[test]
    fn a_zstd_window_beyond_128_mib_is_refused() {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&[7; 1000]).unwrap();
        let error = decode(Compression::Zstd, &encoder.finish().unwrap()).unwrap_err();
        assert!(error.contains("memory"), "{error}");
    }
}
