//! A codec for answers that are encoded already.
//!
//! An event is encoded once, however many streams send it: the codec copies bytes and never looks into them. It also
//! turns an undecodable request into the INVALID_ARGUMENT that it is.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{
    error::{Error, ErrorKind},
    server::status,
};

/// Buffers of a stream start small, since most streams are idle most of the time.
const BUFFER: usize = 2 * 1024;
/// Ready messages are sent together up to this size.
const BATCH: usize = 32 * 1024;

/// Decodes requests of type `Q`; sends answers that are encoded already.
pub struct Encoded<Q>(PhantomData<fn() -> Q>);

impl<Q> Default for Encoded<Q> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: Message + Default + 'static> Codec for Encoded<Q> {
    type Encode = Bytes;
    type Decode = Q;
    type Encoder = Copy;
    type Decoder = Decode<Q>;

    fn encoder(&mut self) -> Copy {
        Copy
    }

    fn decoder(&mut self) -> Decode<Q> {
        Decode(PhantomData)
    }
}

/// Sends bytes as they are.
pub struct Copy;

impl Encoder for Copy {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BATCH)
    }
}

/// Reads a request.
pub struct Decode<Q>(PhantomData<fn() -> Q>);

impl<Q: Message + Default> Decoder for Decode<Q> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        Q::decode(buffer).map(Some).map_err(|cause| {
            status::grpc(&Error::new(ErrorKind::InvalidArgument, format!("not a request of this method: {cause}")))
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BATCH)
    }
}
