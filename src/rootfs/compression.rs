//! The decompressor for an archive, chosen by its first bytes. Knows nothing of what is inside.

use std::io::{self, BufRead, BufReader, Read};

/// Most memory the xz decoder may take; `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

/// Largest zstd window (as a power of two) there is room for: 128 MiB, what `zstd` takes without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Reads what `raw` holds: as it is, or decompressed from gzip, zstd or xz.
pub(super) fn decompressed<'r>(raw: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut input = BufReader::with_capacity(128 << 10, raw);
    Ok(match input.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        _ => Box::new(input),
    })
}
