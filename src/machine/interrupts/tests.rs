use super::*;

/// An I/O APIC with this version register, in which all inputs interrupt.
struct Fake(u32, RefCell<[u32; 256]>);

impl Indexed for Fake {
    fn read(&self, register: u32) -> u32 {
        assert_eq!(register, VERSION);
        self.0
    }

    fn write(&self, register: u32, value: u32) {
        self.1.borrow_mut()[register as usize] = value;
    }
}

#[test]
fn all_inputs_are_masked_and_no_more_registers_are_written() {
    for (version, inputs) in [(0x17_0020, 24), (0x77_0020, 120), (0, 1), (u32::MAX, 120)] {
        let io_apic = Fake(version, RefCell::new([0x41; 256]));
        mask_all(&io_apic);
        for (register, value) in io_apic.1.into_inner().into_iter().enumerate() {
            let entry = (0x10..0x10 + 2 * inputs).contains(&register) && register % 2 == 0;
            assert_eq!(
                value,
                if entry { REDIRECTION_MASKED } else { 0x41 },
                "{version:#x}, {register:#x}"
            );
        }
    }
}

#[test]
fn only_vectors_that_nothing_uses_are_acknowledged_for_them() {
    // All in service, and one alone.
    assert!(in_service(|_| u32::MAX).eq(64..=254));
    assert!(in_service(|register| u32::from(register == IN_SERVICE + 0x20) << 1).eq([65]));
    // Those of devices and exceptions.
    assert_eq!(
        in_service(|register| u32::from(register < IN_SERVICE + 0x20)).count(),
        0
    );
}
