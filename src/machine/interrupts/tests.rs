use super::*;

/// An I/O APIC with this version register, and its other registers.
struct Fake(u32, RefCell<[u32; 256]>);

impl Indexed for Fake {
    fn read(&self, register: u32) -> u32 {
        if register == VERSION {
            return self.0;
        }
        self.1.borrow()[register as usize]
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
fn an_input_is_routed_once_and_to_the_io_apic_that_has_it() {
    let masked = || Fake(0x17_0020, RefCell::new([REDIRECTION_MASKED; 256]));
    let irq_9_is_10 = super::super::acpi::Override {
        irq: 9,
        input: 10,
        active_low: true,
        level: true,
    };
    let io_apics = IoApics {
        all: heapless::Vec::from_iter([(24, masked()), (0, masked())]),
        overrides: heapless::Vec::from_iter([irq_9_is_10]),
    };
    let edge = |number| Input {
        number,
        active_low: false,
        level: false,
    };
    assert_eq!(io_apics.isa(4), edge(4));
    assert_eq!(io_apics.route(edge(5), 0x31), Ok(()));
    assert_eq!(io_apics.route(io_apics.isa(9), 0x32), Ok(()));
    assert_eq!(io_apics.route(edge(47), 0x33), Ok(()));
    assert_eq!(io_apics.route(edge(5), 0x34), Err(Error::InputTaken));
    assert_eq!(io_apics.route(edge(10), 0x34), Err(Error::InputTaken));
    for number in [48, u32::MAX] {
        assert_eq!(io_apics.route(edge(number), 0x34), Err(Error::NoInput));
    }
    let entry = |io_apic: usize, input: usize| io_apics.all[io_apic].1.1.borrow()[0x10 + 2 * input];
    assert_eq!((entry(1, 5), entry(1, 10), entry(0, 23)), (0x31, 0xa032, 0x33));
    assert_eq!(entry(0, 5), REDIRECTION_MASKED);
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
