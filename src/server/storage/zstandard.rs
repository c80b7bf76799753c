//! Blobs compressed on the wire (REAPI `Compressor.ZSTD`). Knows nothing of who sends them.
//!
//! What is decompressed is bounded by the size in the digest, whatever a frame claims: a small message can unfold to
//! any size. Contexts are kept, as making one costs more than compressing a small blob.

use bytes::Bytes;
use parking_lot::Mutex;
use tonic::Status;
use zstd::bulk::{Compressor, Decompressor};
use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{CParameter, DParameter};

use crate::digest::Digest;
use crate::status;

/// The fastest level that still finds most of what there is to find: clients wait for these bytes.
const LEVEL: i32 = 1;

/// The largest window a frame may ask for: 32 MiB. The levels above 20 that want more are for archives, and every
/// upload in progress keeps a window in memory.
const MAX_WINDOW_LOG: u32 = 25;

/// A whole compressed blob that has the length its digest says, or less.
pub(crate) fn decompress(compressed: &[u8], digest: &Digest) -> Result<Bytes, Status> {
    static CONTEXTS: Pool<Decompressor<'static>> = Pool::new();
    // One byte more than there may be, so that what is too long is seen.
    let capacity = usize::try_from(digest.size_bytes).map_err(|_| too_long(digest))? + 1;
    let mut context = CONTEXTS.take(|| {
        let mut context = Decompressor::new()?;
        context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        Ok(context)
    })?;
    let mut blob = Vec::with_capacity(capacity);
    let result = context.decompress_to_buffer(compressed, &mut blob);
    CONTEXTS.put(context);
    match result {
        Ok(_) if blob.len() as u64 > digest.size_bytes => Err(too_long(digest)),
        Ok(_) => Ok(blob.into()),
        Err(error) => Err(invalid(&error)),
    }
}

/// `None` if it cannot be done.
pub(crate) fn compress(blob: &[u8]) -> Option<Vec<u8>> {
    static CONTEXTS: Pool<Compressor<'static>> = Pool::new();
    let mut context = CONTEXTS.take(|| Compressor::new(LEVEL)).ok()?;
    let compressed = context.compress(blob).ok();
    CONTEXTS.put(context);
    compressed
}

/// A stream of compressed bytes that becomes a blob, or the rest of one.
pub(crate) struct Decompression {
    decoder: Option<Decoder<'static>>,
    /// Whether the frame that was begun is complete.
    at_frame_end: bool,
    buffer: Vec<u8>,
}

static DECODERS: Pool<Decoder<'static>> = Pool::new();

/// What is decompressed at a time, in bytes.
const PIECE: usize = 256 << 10;

impl Decompression {
    pub(crate) fn new() -> Result<Self, Status> {
        let decoder = DECODERS.take(|| {
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
            Ok(decoder)
        })?;
        Ok(Self { decoder: Some(decoder), at_frame_end: true, buffer: vec![0; PIECE] })
    }

    /// Hands on what `compressed` becomes, in pieces.
    pub(crate) fn write(
        &mut self,
        compressed: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let decoder = self.decoder.as_mut().expect("it is taken on drop only");
        let mut input = InBuffer::around(compressed);
        loop {
            if input.pos() == compressed.len() && self.at_frame_end {
                return Ok(());
            }
            let mut output = OutBuffer::around(&mut self.buffer[..]);
            let hint = decoder.run(&mut input, &mut output).map_err(|error| invalid(&error))?;
            let written = output.pos();
            self.at_frame_end = hint == 0;
            sink(&self.buffer[..written])?;
            if input.pos() == compressed.len() && written < PIECE {
                return Ok(());
            }
        }
    }

    /// # Errors
    /// A stream that ends in the middle of a frame.
    pub(crate) fn finish(&self) -> Result<(), Status> {
        if self.at_frame_end {
            Ok(())
        } else {
            Err(status::invalid("data", "ends in the middle of a zstd frame"))
        }
    }
}

impl Drop for Decompression {
    fn drop(&mut self) {
        if let Some(mut decoder) = self.decoder.take()
            && decoder.reinit().is_ok()
        {
            DECODERS.put(decoder);
        }
    }
}

/// A blob that becomes a stream of compressed bytes.
pub(crate) struct Compression {
    encoder: Option<Encoder<'static>>,
}

static ENCODERS: Pool<Encoder<'static>> = Pool::new();

impl Compression {
    /// Of `length` bytes.
    pub(crate) fn new(length: u64) -> Result<Self, Status> {
        let mut encoder = ENCODERS.take(|| {
            let mut encoder = Encoder::new(LEVEL)?;
            encoder.set_parameter(CParameter::ChecksumFlag(false))?;
            Ok(encoder)
        })?;
        encoder.set_pledged_src_size(Some(length)).map_err(|error| broken(&error))?;
        Ok(Self { encoder: Some(encoder) })
    }

    /// Appends what `piece` becomes to `out`; `is_last` ends the frame.
    pub(crate) fn write(&mut self, piece: &[u8], is_last: bool, out: &mut Vec<u8>) -> Result<(), Status> {
        let encoder = self.encoder.as_mut().expect("it is taken on drop only");
        let mut input = InBuffer::around(piece);
        loop {
            out.reserve(zstd::zstd_safe::compress_bound(piece.len() - input.pos()).max(1024));
            let position = out.len();
            let mut output = OutBuffer::around_pos(out, position);
            if input.pos() < piece.len() {
                encoder.run(&mut input, &mut output).map_err(|error| broken(&error))?;
            } else if is_last {
                if encoder.finish(&mut output, true).map_err(|error| broken(&error))? == 0 {
                    return Ok(());
                }
            } else {
                return Ok(());
            }
        }
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        if let Some(mut encoder) = self.encoder.take()
            && encoder.reinit().is_ok()
        {
            ENCODERS.put(encoder);
        }
    }
}

/// Contexts that nobody uses at the moment.
struct Pool<C>(Mutex<Vec<C>>);

/// A context is some hundred KiB.
const POOLED: usize = 8;

impl<C> Pool<C> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self, make: impl FnOnce() -> std::io::Result<C>) -> Result<C, Status> {
        let pooled = self.0.lock().pop();
        pooled.map_or_else(|| make().map_err(|error| broken(&error)), Ok)
    }

    fn put(&self, context: C) {
        let mut pooled = self.0.lock();
        if pooled.len() < POOLED {
            pooled.push(context);
        }
    }
}

fn too_long(digest: &Digest) -> Status {
    status::invalid("data", format!("becomes more than the {} bytes that its digest says", digest.size_bytes))
}

fn invalid(error: &std::io::Error) -> Status {
    status::invalid("data", format!("cannot be decompressed: {error}"))
}

fn broken(error: &std::io::Error) -> Status {
    Status::internal(format!("zstd failed: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;
    use crate::digest::DigestFunction;

    fn decompressed(compressed: &[u8], cut: usize) -> Result<Vec<u8>, Status> {
        let mut decompression = Decompression::new()?;
        let mut blob = Vec::new();
        for piece in compressed.chunks(cut) {
            decompression.write(piece, |bytes| {
                blob.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        decompression.finish().map(|()| blob)
    }

    proptest! {
        #[test]
        fn pieces_come_back_whole(blob in proptest::collection::vec(0_u8..4, 0..600_000), cut in 1_usize..5000) {
            let mut compression = Compression::new(blob.len() as u64).unwrap();
            let mut compressed = Vec::new();
            let (one, two) = blob.split_at(blob.len() / 3);
            compression.write(one, false, &mut compressed).unwrap();
            compression.write(two, true, &mut compressed).unwrap();
            prop_assert_eq!(&decompressed(&compressed, cut).unwrap(), &blob);
            let digest = DigestFunction::Sha256.digest(&blob);
            prop_assert_eq!(decompress(&compressed, &digest).unwrap(), blob);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decompressed(&bytes, 7);
            let _ = decompress(&bytes, &DigestFunction::Sha256.digest(b"a"));
        }
    }

    #[test]
    fn a_bomb_is_defused_by_its_digest() {
        let bomb = compress(&vec![0; 100 << 20]).unwrap();
        let refusal = decompress(&bomb, &DigestFunction::Sha256.digest(&[0; 1000])).unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
    }

    #[test]
    fn frames_may_follow_each_other_but_not_be_cut() {
        let frames = [compress(b"one").unwrap(), compress(b"two").unwrap()].concat();
        assert_eq!(decompressed(&frames, 4).unwrap(), b"onetwo");
        let refusal = decompressed(&frames[..frames.len() - 1], 4).unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
    }
}
