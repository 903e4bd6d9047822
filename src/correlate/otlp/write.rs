//! Writes protobuf's wire format.

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

// === impl Writer ===

impl Writer {
    /// What is written, taken out; the writer is empty afterwards.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Fields that are encoded already.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    /// An integer, an enumeration or a truth.
    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        self.number(u64::from(number) << 3);
        self.number(value);
    }

    /// `fixed64`, `sfixed64`, or the bits of a `double`.
    pub(crate) fn fixed64(&mut self, number: u32, value: u64) {
        self.number(u64::from(number) << 3 | 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// `fixed32`.
    pub(crate) fn fixed32(&mut self, number: u32, value: u32) {
        self.number(u64::from(number) << 3 | 5);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Text, bytes, or a message that is encoded already.
    pub(crate) fn bytes(&mut self, number: u32, value: &[u8]) {
        self.number(u64::from(number) << 3 | 2);
        self.number(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// A message that `inner` writes. Its length, which stands before it, is known only afterwards: one byte is
    /// kept free, and what is longer is moved once.
    pub(crate) fn message<R>(&mut self, number: u32, inner: impl FnOnce(&mut Self) -> R) -> R {
        self.number(u64::from(number) << 3 | 2);
        let at = self.out.len();
        self.out.push(0);
        let result = inner(self);
        let mut length = (self.out.len() - at - 1) as u64;
        let mut digits = [0; 10];
        let mut count = 0;
        for digit in &mut digits {
            *digit = (length & 0x7f) as u8;
            length >>= 7;
            count += 1;
            if length == 0 {
                break;
            }
            *digit |= 0x80;
        }
        self.out.splice(at..=at, digits.iter().copied().take(count));
        result
    }

    /// A bare number: an element of a packed list.
    #[inline]
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Bare eight bytes: an element of a packed list.
    pub(crate) fn eight(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }
}
