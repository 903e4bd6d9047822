//! Reads protobuf's wire format field by field, without copying and without recursion of its own.

use super::Malformed;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
}

/// What a field holds, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, in the order of its bytes. Ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all are of one byte: tags, kinds, short lengths.
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        let mut value = 0;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte has room for one bit.
            if at == 9 && *byte > 1 {
                return Err(Malformed::BadField);
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Malformed::Truncated)
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::BadField)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed::BadField);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups, which OTLP never had, and numbers without a meaning.
            _ => return Err(Malformed::BadField),
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// A message, text or bytes.
    #[inline]
    pub(crate) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::WrongType),
        }
    }

    /// An integer, an enumeration or a truth.
    #[inline]
    pub(crate) const fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed::WrongType),
        }
    }

    /// `fixed64`, `sfixed64`, or the bits of a `double`.
    #[inline]
    pub(crate) const fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(Malformed::WrongType),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::correlate::otlp::Writer;
    use proptest::prelude::*;

    #[test]
    fn what_the_writer_wrote_is_read() {
        let mut writer = Writer::default();
        writer.varint(1, 300);
        writer.fixed64(2, u64::MAX);
        writer.bytes(3, b"text");
        writer.fixed32(1000, 7);
        let written = writer.take();
        let read: Vec<_> = Fields::of(&written).collect::<Result<_, _>>().unwrap();
        assert_eq!(
            read,
            [
                Field { number: 1, value: Value::Varint(300) },
                Field { number: 2, value: Value::Fixed64(u64::MAX) },
                Field { number: 3, value: Value::Bytes(b"text") },
                Field { number: 1000, value: Value::Fixed32(7) },
            ]
        );
    }

    #[test]
    fn each_way_of_being_wrong_has_its_name_and_ends_the_reading() {
        for (bytes, error) in [
            (&[0x0a, 5, 1][..], Malformed::Truncated),
            (&[0x80], Malformed::Truncated),
            (&[0x09, 1, 2], Malformed::Truncated),
            (&[0x0b, 1], Malformed::BadField),
            (&[0x00, 1], Malformed::BadField),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], Malformed::BadField),
            (&[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], Malformed::Truncated),
        ] {
            let mut fields = Fields::of(bytes);
            assert_eq!(fields.next(), Some(Err(error)), "{bytes:?}");
            assert_eq!(fields.next(), None);
        }
    }

    proptest! {
        #[test]
        fn any_number_survives(value: u64, number in 1u32..(1 << 29)) {
            let mut writer = Writer::default();
            writer.varint(number, value);
            let written = writer.take();
            let read: Vec<_> = Fields::of(&written).collect();
            prop_assert_eq!(read, [Ok(Field { number, value: Value::Varint(value) })]);
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes: Vec<u8>) {
            prop_assert!(Fields::of(&bytes).count() <= bytes.len());
        }
    }
}
