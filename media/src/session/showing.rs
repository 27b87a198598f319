//! Pictures for many at once: whoever takes packets of the same mode and size gets the same
//! payloads, which are cut when the first of them asks. Numbers and clocks are each session's
//! own.

use bytes::Bytes;

use super::thin::Weight;
use crate::payload::h264::{Fragment, PacketizeError, Packetizer, Shape};

/// How many modes and sizes there may be among the viewers; beyond, it is cut anew each time.
const SHAPES_MAX: usize = 8;

/// What every viewer of one shape gets.
#[derive(Debug)]
struct Cut {
    packetizer: Packetizer,
    fragments: Vec<Fragment>,
    /// Of the current access unit, once somebody has asked.
    outcome: Option<Result<(), PacketizeError>>,
}

/// An access unit at a time, for any number of sessions.
#[derive(Debug, Default)]
pub struct Showing {
    unit: Bytes,
    weight: Option<Weight>,
    cuts: Vec<Cut>,
}

impl Showing {
    /// The next access unit (Annex B). An empty one keeps nothing of the one before.
    pub fn set(&mut self, access_unit: Bytes) {
        self.unit = access_unit;
        self.weight = None;
        for cut in &mut self.cuts {
            cut.outcome = None;
            cut.fragments.clear();
        }
    }

    /// Bytes of the current access unit.
    pub(super) fn len(&self) -> usize {
        self.unit.len()
    }

    /// What depends on the current access unit.
    pub(super) fn weight(&mut self) -> Weight {
        *self.weight.get_or_insert_with(|| Weight::of_unit(&self.unit))
    }

    /// The current access unit in payloads of a shape.
    pub(super) fn cut(&mut self, shape: Shape) -> Result<&[Fragment], PacketizeError> {
        let index = match self.cuts.iter().position(|cut| cut.packetizer.shape() == shape) {
            Some(index) => index,
            None => {
                if self.cuts.len() >= SHAPES_MAX {
                    self.cuts.pop();
                }
                let packetizer = Packetizer::of(shape);
                self.cuts.push(Cut { packetizer, fragments: Vec::new(), outcome: None });
                self.cuts.len() - 1
            }
        };
        let Cut { packetizer, fragments, outcome } = &mut self.cuts[index];
        let outcome = *outcome.get_or_insert_with(|| packetizer.packetize(&self.unit, fragments));
        outcome.map(|()| fragments.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::h264::PacketizationMode;

    fn shape(payload_bytes_max: usize) -> Shape {
        let packetizer = Packetizer::new(PacketizationMode::NonInterleaved, payload_bytes_max);
        packetizer.expect("the size is allowed").shape()
    }

    #[test]
    fn whoever_takes_the_same_gets_the_same_memory() {
        let mut showing = Showing::default();
        let unit = Bytes::from([&[0, 0, 0, 1, 0x65][..], &[0x88; 3_000]].concat());
        showing.set(unit.clone());
        let first = showing.cut(shape(1_000)).expect("it can be cut").to_vec();
        let second = showing.cut(shape(1_000)).expect("it can be cut");
        assert_eq!(first, second);
        assert_eq!(first[0].body().as_ptr(), unit[5..].as_ptr(), "nothing is copied");
        assert_eq!((first.len(), showing.cut(shape(2_000)).expect("so can this").len()), (4, 2));
        assert_eq!(showing.weight(), Weight::Key);
        for size in 100..100 + 2 * SHAPES_MAX {
            assert!(showing.cut(shape(size)).is_ok());
        }
        showing.set(Bytes::from_static(&[0, 0, 0, 1, 0x41, 0x9a]));
        assert_eq!(showing.cut(shape(1_000)).map(<[_]>::len), Ok(1));
        assert_eq!(showing.weight(), Weight::Needed);
        showing.set(Bytes::from_static(&[7; 9]));
        for _ in 0..2 {
            assert_eq!(showing.cut(shape(1_000)).err(), Some(PacketizeError::NoUnits(9)));
        }
    }
}
