//! Counters of buckets, in pages: latencies sit in a few octaves, so most of the range costs nothing.

use super::index::SCALE;

const PAGE_BITS: u32 = 5;
const PAGE: usize = 1 << PAGE_BITS;
/// 128 octaves side by side at scale 7, 128 KiB. Past it the histogram is scaled down, so that
/// no target that answers with odd numbers can make it grow.
const MOST_PAGES: usize = 512;

/// The counters of one sign.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    scale: u8,
    /// The page that `slots` begins with.
    first: i32,
    /// For each page of the range: its number in `counts`, from 1; 0 where nothing was counted.
    slots: Vec<u16>,
    counts: Vec<u64>,
}

// === impl Pages ===

impl Pages {
    pub(super) const fn new() -> Self {
        Self { scale: SCALE, first: 0, slots: Vec::new(), counts: Vec::new() }
    }

    pub(super) const fn scale(&self) -> u8 {
        self.scale
    }

    /// Counts `n` values of a bucket of scale 7.
    #[inline]
    pub(super) fn add(&mut self, index: i32, n: u64) {
        let index = index >> (SCALE - self.scale);
        let page = (index >> PAGE_BITS).wrapping_sub(self.first) as usize;
        let within = index as usize & (PAGE - 1);
        if let Some(&slot) = self.slots.get(page)
            && slot != 0
            && let Some(count) = self.counts.get_mut((usize::from(slot) - 1) * PAGE + within)
        {
            *count += n;
        } else {
            self.add_to_new_page(index, n);
        }
    }

    /// Adds all of `other`; the coarser of the two scales stays.
    pub(super) fn merge(&mut self, other: &Self) {
        self.scale_down(other.scale);
        for (index, count) in other.iter() {
            // As an index of scale 7, which `add` shifts back.
            self.add(index << (SCALE - other.scale), count);
        }
    }

    /// Joins neighbouring buckets until the scale is at most `scale`.
    pub(super) fn scale_down(&mut self, scale: u8) {
        if scale >= self.scale {
            return;
        }
        let old = std::mem::replace(self, Self { scale, ..Self::new() });
        for (index, count) in old.iter() {
            self.add(index << (SCALE - old.scale), count);
        }
    }

    /// Forgets the counts and keeps the pages.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Buckets that hold something, in rising order of their index.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        let first = self.first;
        self.slots.iter().enumerate().filter(|(_, slot)| **slot != 0).flat_map(move |(page, slot)| {
            let base = (first + page as i32) << PAGE_BITS;
            let from = (usize::from(*slot) - 1) * PAGE;
            let counts = self.counts.get(from..from + PAGE).unwrap_or_default();
            counts.iter().enumerate().filter(|(_, n)| **n != 0).map(move |(within, n)| (base + within as i32, *n))
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u16>() + self.counts.capacity() * size_of::<u64>()
    }

    #[cold]
    fn add_to_new_page(&mut self, index: i32, n: u64) {
        let page = index >> PAGE_BITS;
        if self.slots.is_empty() {
            self.first = page;
        }
        if page < self.first {
            let missing = (self.first - page) as usize;
            self.slots.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = page;
        }
        let at = (page - self.first) as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, 0);
        }
        if self.counts.len() / PAGE >= MOST_PAGES && self.scale > 0 {
            let unscaled = index << (SCALE - self.scale);
            self.scale_down(self.scale - 1);
            self.add(unscaled, n);
            return;
        }
        // Exactly: pages come seldom and stay, and there are hundreds of histograms over time.
        self.counts.reserve_exact(PAGE);
        self.counts.resize(self.counts.len() + PAGE, 0);
        let number = self.counts.len() / PAGE;
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = u16::try_from(number).unwrap_or(u16::MAX);
        }
        if let Some(count) = self.counts.get_mut((number - 1) * PAGE + (index as usize & (PAGE - 1))) {
            *count += n;
        }
    }
}
