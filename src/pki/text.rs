//! stub
/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize>([u8; N], u8);
impl<const N: usize> Text<N> {
    /// stub
    pub fn new(s: &str) -> Self {
        let mut t = Self([0; N], 0);
        for b in s.bytes().take(N) {
            t.0[t.1 as usize] = b;
            t.1 += 1;
        }
        t
    }
    /// stub
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0[..self.1 as usize]).unwrap_or_default()
    }
}
