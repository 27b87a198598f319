//! H.264 pictures by OpenH264. Decoding runs with the wrapper's flushing off, since flushing
//! after every call breaks streams that reorder pictures; what is left comes at the end.
//! Encoding is constrained baseline, one thread, so that the same pictures give the same
//! bytes. OpenH264 decodes frames of 4:2:0 with 8 bits only: no fields, no other formats.

use core::time::Duration;

use bytes::Bytes;
use openh264::decoder::{DecodedYUV, DecoderConfig, Flush};
use openh264::encoder::{
    BitRate, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, Profile, RateControlMode,
    UsageType,
};
use openh264::formats::{YUVSlices, YUVSource};
use openh264::{OpenH264API, Timestamp};
use thiserror::Error;

use crate::fault::{self, Fault};
use crate::video::Picture;
use crate::video::nal;
use crate::video::prelude::Prelude;

/// How many access units may wait for their picture: the greatest decoded picture buffer
/// (ITU-T H.264 table A-1), twice.
const WAITING_MAX: usize = 32;

/// OpenH264 could not be set up.
#[derive(Debug, Error)]
#[error("OpenH264 cannot be set up: {0}")]
pub struct SetupError(String);

/// An access unit that OpenH264 could not decode, or not in full.
#[derive(Debug, Error)]
#[error("OpenH264 cannot decode the access unit of timestamp {timestamp}: {reason}")]
pub struct DecodeError {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// What OpenH264 says.
    pub reason: String,
}

/// A picture that could not be encoded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Its planes do not have the sizes that its width and height call for, or these are
    /// zero or odd.
    #[error("picture of {width}x{height} has planes of {y}, {u} and {v} bytes")]
    Planes {
        /// Its width.
        width: u16,
        /// Its height.
        height: u16,
        /// Size of its luma plane.
        y: usize,
        /// Size of its first chroma plane.
        u: usize,
        /// Size of its second chroma plane.
        v: usize,
    },
    /// OpenH264 refused it.
    #[error("OpenH264 cannot encode the picture: {0}")]
    Refused(String),
}

/// A picture as it lies in the decoder, until the next call.
#[derive(Debug)]
pub struct Decoded<'a> {
    image: DecodedYUV<'a>,
    timestamp: u32,
}

impl Decoded<'_> {
    /// Width and height in luma samples: the visible area.
    #[must_use]
    pub fn resolution(&self) -> (usize, usize) {
        self.image.dimensions()
    }

    /// RTP timestamp of the access unit it was made of.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// The rows of its visible area: all of Y, then all of U, then all of V.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let (width, height) = self.image.dimensions();
        let strides = self.image.strides();
        let plane = |samples, stride: usize, width: usize, height: usize| {
            rows(samples, stride, width).take(height)
        };
        plane(self.image.y(), strides.0, width, height)
            .chain(plane(self.image.u(), strides.1, width / 2, height / 2))
            .chain(plane(self.image.v(), strides.2, width / 2, height / 2))
    }

    /// Copies it out, into buffers that are used again.
    pub fn write(&self, picture: &mut Picture) {
        let (width, height) = self.image.dimensions();
        let strides = self.image.strides();
        // OpenH264 has no pictures beyond level 5.2.
        picture.width = u16::try_from(width).unwrap_or(u16::MAX);
        picture.height = u16::try_from(height).unwrap_or(u16::MAX);
        picture.timestamp = self.timestamp;
        copy_plane(self.image.y(), strides.0, width, height, &mut picture.y);
        copy_plane(self.image.u(), strides.1, width / 2, height / 2, &mut picture.u);
        copy_plane(self.image.v(), strides.2, width / 2, height / 2, &mut picture.v);
        if fault::is(Fault::PlanesSwapped) {
            core::mem::swap(&mut picture.u, &mut picture.v);
        }
    }

    /// Copies it out.
    #[must_use]
    pub fn to_picture(&self) -> Picture {
        let mut picture = Picture::default();
        self.write(&mut picture);
        picture
    }
}

fn rows(samples: &[u8], stride: usize, width: usize) -> impl Iterator<Item = &[u8]> {
    samples.chunks(stride.max(1)).map(move |row| &row[..width.min(row.len())])
}

fn copy_plane(samples: &[u8], stride: usize, width: usize, height: usize, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(width * height);
    for row in rows(samples, stride, width).take(height) {
        out.extend_from_slice(row);
    }
}

/// One stream's decoder.
pub struct Decoder {
    inner: openh264::decoder::Decoder,
    /// Timestamps of the pictures inside, earliest first: pictures leave in the order of
    /// their display, which is the order of their timestamps.
    waiting: Vec<u32>,
    /// Parameter sets that came.
    prelude: Prelude,
}

impl core::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decoder").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    ///
    /// # Errors
    /// When OpenH264 cannot be set up: out of memory, in practice.
    pub fn new() -> Result<Self, SetupError> {
        Ok(Self { inner: decoder()?, waiting: Vec::new(), prelude: Prelude::default() })
    }

    /// Takes one access unit (Annex B); gives the picture that is next in display order, if
    /// one is due. It may be of an earlier access unit.
    ///
    /// # Errors
    /// When the access unit is damaged, or refers to what is missing. The next key frame
    /// puts that right.
    pub fn decode(
        &mut self,
        access_unit: &[u8],
        timestamp: u32,
    ) -> Result<Option<Decoded<'_>>, DecodeError> {
        self.prelude.remember(access_unit);
        let (_, picture) = nal::split_at_picture(access_unit);
        let has_picture = !picture.is_empty();
        if has_picture {
            let behind = |&other: &u32| timestamp.wrapping_sub(other).cast_signed() >= 0;
            let at = self.waiting.partition_point(behind);
            self.waiting.insert(at, timestamp);
            if self.waiting.len() > WAITING_MAX {
                self.waiting.remove(0);
            }
        }
        match self.inner.decode(access_unit) {
            Ok(None) => Ok(None),
            Ok(Some(image)) => {
                let timestamp = take_first(&mut self.waiting).unwrap_or(timestamp);
                Ok(Some(Decoded { image, timestamp }))
            }
            Err(error) => {
                if has_picture {
                    self.waiting.retain(|&other| other != timestamp);
                }
                Err(DecodeError { timestamp, reason: error.to_string() })
            }
        }
    }

    /// Whether pictures may be inside.
    #[must_use]
    pub const fn holds_any(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Nothing that comes before the next key frame can be shown: gives the pictures that are
    /// still inside, in display order, and begins anew with the parameter sets that have come.
    /// (Once flushed, OpenH264 does not give back the room of what it held.)
    ///
    /// # Errors
    /// When OpenH264 says that they are damaged, or there is no memory for another decoder.
    pub fn begin_anew(&mut self) -> Result<Vec<Picture>, DecodeError> {
        let pictures = self.finish().map(|left| left.iter().map(Decoded::to_picture).collect());
        let refused = |error: SetupError| DecodeError { timestamp: 0, reason: error.to_string() };
        self.inner = decoder().map_err(refused)?;
        self.waiting.clear();
        let sets = self.prelude.to_bytes();
        if !sets.is_empty() {
            // Sets that it refused before it refuses again.
            let _ = self.inner.decode(&sets);
        }
        pictures
    }

    /// The stream is over: gives the pictures that are still inside, in display order.
    ///
    /// # Errors
    /// When OpenH264 says that they are damaged.
    pub fn finish(&mut self) -> Result<Vec<Decoded<'_>>, DecodeError> {
        let mut waiting = core::mem::take(&mut self.waiting);
        let last = waiting.last().copied().unwrap_or(0);
        let images = self
            .inner
            .flush_remaining()
            .map_err(|error| DecodeError { timestamp: last, reason: error.to_string() })?;
        let decoded = images.into_iter().map(|image| {
            let timestamp = take_first(&mut waiting).unwrap_or(last);
            Decoded { image, timestamp }
        });
        Ok(decoded.collect())
    }
}

fn decoder() -> Result<openh264::decoder::Decoder, SetupError> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config)
        .map_err(|error| SetupError(error.to_string()))
}

fn take_first(waiting: &mut Vec<u32>) -> Option<u32> {
    (!waiting.is_empty()).then(|| waiting.remove(0))
}

/// What an [`Encoder`] aims at.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Target, in bit/s.
    pub bit_rate: u32,
    /// The most pictures per second that will come.
    pub frame_rate: f32,
    /// How many pictures from one key frame to the next; `None` for one at the beginning
    /// and whenever asked for.
    pub key_frame_interval: Option<u32>,
    /// Whether the pictures come from a screen, not from a camera.
    pub is_screen: bool,
    /// Greatest size of a slice in bytes, for packetization mode 0; `None` for one slice
    /// per picture.
    pub slice_bytes_max: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bit_rate: 1_500_000,
            frame_rate: 30.0,
            key_frame_interval: None,
            is_screen: false,
            slice_bytes_max: None,
        }
    }
}

/// One encoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The access unit, Annex B; key frames bring their parameter sets.
    pub data: Bytes,
    /// Whether decoding can begin here.
    pub key_frame: bool,
}

/// One stream's encoder. Pictures may change their size; that makes a key frame.
pub struct Encoder {
    inner: openh264::encoder::Encoder,
    has_begun: bool,
    wants_key_frame: bool,
}

impl core::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encoder").field("has_begun", &self.has_begun).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder in front of its first picture.
    ///
    /// # Errors
    /// When OpenH264 cannot be set up.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let usage = if config.is_screen {
            UsageType::ScreenContentRealTime
        } else {
            UsageType::CameraVideoRealTime
        };
        let mut inner = EncoderConfig::new()
            .bitrate(BitRate::from_bps(config.bit_rate))
            .max_frame_rate(FrameRate::from_hz(config.frame_rate))
            .rate_control_mode(RateControlMode::Bitrate)
            .usage_type(usage)
            .profile(Profile::Baseline)
            .intra_frame_period(IntraFramePeriod::from_num_frames(
                config.key_frame_interval.unwrap_or(0),
            ))
            .num_threads(1);
        if let Some(bytes) = config.slice_bytes_max {
            inner = inner.max_slice_len(bytes);
        }
        let inner = openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), inner)
            .map_err(|error| SetupError(error.to_string()))?;
        Ok(Self { inner, has_begun: false, wants_key_frame: false })
    }

    /// The next picture becomes a key frame.
    pub fn request_key_frame(&mut self) {
        self.wants_key_frame = true;
    }

    /// Encodes one picture that is displayed `at` after the first. `None` when the encoder
    /// leaves it out to keep to its bit rate.
    ///
    /// # Errors
    /// When the planes do not fit the size, or OpenH264 refuses the picture.
    pub fn encode(
        &mut self,
        picture: &Picture,
        at: Duration,
    ) -> Result<Option<Encoded>, EncodeError> {
        let source = slices(picture)?;
        if core::mem::take(&mut self.wants_key_frame) && self.has_begun {
            self.inner.force_intra_frame();
        }
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX >> 1);
        let encoded = self
            .inner
            .encode_at(&source, Timestamp::from_millis(millis.min(u64::MAX >> 1)))
            .map_err(|error| EncodeError::Refused(error.to_string()))?;
        self.has_begun = true;
        let key_frame = matches!(encoded.frame_type(), FrameType::IDR);
        let data = encoded.to_vec();
        if data.is_empty() {
            // A key frame that was left out is still owed.
            self.wants_key_frame = key_frame;
            return Ok(None);
        }
        Ok(Some(Encoded { data: data.into(), key_frame }))
    }
}

fn slices(picture: &Picture) -> Result<YUVSlices<'_>, EncodeError> {
    let (width, height) = (usize::from(picture.width), usize::from(picture.height));
    let chroma = width * height / 4;
    let is_even = width > 0 && height > 0 && width % 2 == 0 && height % 2 == 0;
    let fits =
        picture.y.len() == width * height && picture.u.len() == chroma && picture.v.len() == chroma;
    if !(is_even && fits) {
        return Err(EncodeError::Planes {
            width: picture.width,
            height: picture.height,
            y: picture.y.len(),
            u: picture.u.len(),
            v: picture.v.len(),
        });
    }
    let planes = (&picture.y[..], &picture.u[..], &picture.v[..]);
    Ok(YUVSlices::new(planes, (width, height), (width, width / 2, width / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u16, height: u16, shade: u8) -> Picture {
        let luma = usize::from(width) * usize::from(height);
        let y = (0..luma).map(|at| (at as u8).wrapping_mul(3).wrapping_add(shade)).collect();
        let (u, v) = (vec![90; luma / 4], vec![160; luma / 4]);
        Picture { width, height, y, u, v, timestamp: 0 }
    }

    fn encode(encoder: &mut Encoder, count: u8) -> Vec<Encoded> {
        let at = |index: u8| Duration::from_millis(33) * u32::from(index);
        (0..count)
            .filter_map(|index| {
                let picture = picture(320, 180, index * 5);
                encoder.encode(&picture, at(index)).expect("OpenH264 takes it")
            })
            .collect()
    }

    #[test]
    fn what_was_encoded_decodes_to_the_same_size_and_timestamps() {
        let mut encoder = Encoder::new(&Config::default()).expect("there is memory");
        let mut decoder = Decoder::new().expect("there is memory");
        let units = encode(&mut encoder, 5);
        assert!(units[0].key_frame && units[1..].iter().all(|unit| !unit.key_frame));
        let mut decoded = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            let timestamp = (u32::MAX - 5_000).wrapping_add(3_000 * index as u32);
            let picture = decoder.decode(&unit.data, timestamp).expect("it is whole");
            decoded.extend(picture.map(|picture| (picture.resolution(), picture.timestamp())));
        }
        let left = decoder.finish().expect("it is whole");
        decoded.extend(left.iter().map(|picture| (picture.resolution(), picture.timestamp())));
        drop(left);
        let expected = (0..units.len() as u32)
            .map(|index| ((320, 180), (u32::MAX - 5_000).wrapping_add(3_000 * index)));
        assert_eq!(decoded, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_decoder_that_begins_anew_knows_its_parameter_sets() {
        let mut encoder = Encoder::new(&Config::default()).expect("there is memory");
        let mut decoder = Decoder::new().expect("there is memory");
        for (unit, timestamp) in encode(&mut encoder, 3).iter().zip(0..) {
            decoder.decode(&unit.data, timestamp).expect("it is whole");
        }
        decoder.begin_anew().expect("there is memory");
        encoder.request_key_frame();
        let key = encode(&mut encoder, 1);
        let is_set = |unit: &&[u8]| nal::Header::from_byte(unit[0]).unit_type().is_parameter_set();
        let bare = nal::units(&key[0].data).filter(|unit| !is_set(unit));
        let bare: Vec<u8> = bare.flat_map(|unit| [&nal::START_CODE, unit].concat()).collect();
        assert!(bare.len() < key[0].data.len(), "it had some");
        let picture = decoder.decode(&bare, 9).expect("nothing is missing");
        assert_eq!(
            picture.map(|picture| (picture.resolution(), picture.timestamp())),
            Some(((320, 180), 9))
        );
        let mut other = Decoder::new().expect("there is memory");
        assert!(!matches!(other.decode(&bare, 9), Ok(Some(_))), "without them nothing comes");
    }

    #[test]
    fn a_key_frame_comes_when_asked_for_and_the_same_pictures_give_the_same_bytes() {
        let run = || {
            let mut encoder = Encoder::new(&Config::default()).expect("there is memory");
            let mut units = encode(&mut encoder, 3);
            encoder.request_key_frame();
            units.extend(encode(&mut encoder, 1));
            units
        };
        let units = run();
        assert!(units[3].key_frame && !units[2].key_frame);
        assert_eq!(units, run());
    }

    #[test]
    fn a_picture_whose_planes_do_not_fit_is_refused() {
        let mut encoder = Encoder::new(&Config::default()).expect("there is memory");
        let mut odd = picture(320, 180, 0);
        odd.width = 319;
        assert!(matches!(encoder.encode(&odd, Duration::ZERO), Err(EncodeError::Planes { .. })));
        assert!(encoder.encode(&Picture::default(), Duration::ZERO).is_err());
    }

    #[test]
    fn a_picture_has_no_padding_between_its_rows() {
        let mut encoder = Encoder::new(&Config::default()).expect("there is memory");
        let mut decoder = Decoder::new().expect("there is memory");
        let unit = encode(&mut encoder, 1).remove(0);
        let decoded = decoder.decode(&unit.data, 7).expect("it is whole").expect("it is due");
        let picture = decoded.to_picture();
        assert_eq!((picture.y.len(), picture.u.len(), picture.v.len()), (57_600, 14_400, 14_400));
        let rows: Vec<u8> = decoded.rows().flatten().copied().collect();
        assert_eq!(rows, [picture.y, picture.u, picture.v].concat());
        assert_eq!(picture.timestamp, 7);
    }

    #[test]
    fn what_is_no_access_unit_is_an_error_or_nothing_and_no_panic() {
        let mut decoder = Decoder::new().expect("there is memory");
        for bytes in [&[][..], &[0, 0, 1], &[0, 0, 1, 0x65, 0xFF], &[0, 0, 0, 1, 0x67, 1, 2]] {
            assert!(!decoder.decode(bytes, 1).is_ok_and(|picture| picture.is_some()));
        }
    }
}
