//! Which registers are accessed, against ordinary memory in their place.

use super::*;

const AT: QueueAddress = QueueAddress {
    len: 64,
    table: 0x1_2345_6000,
    available: 0x2_3456_7000,
    used: 0x3_4567_8000,
};

fn registers(words: usize) -> Registers {
    Registers::fake(Box::leak(vec![0; words].into_boxed_slice()))
}

/// A device with so many words of its own configuration and of notification registers.
fn transport(device: usize, notify: usize, multiplier: u32) -> PciTransport {
    PciTransport {
        common: registers(COMMON_LEN / 4),
        device: registers(device),
        notify: registers(notify),
        multiplier,
        offsets: [0; 2],
    }
}

#[test]
fn a_queue_is_set_up_in_its_registers() {
    let mut transport = transport(4, 4, 4);
    transport.common.write_u16(QUEUE_NOTIFY_OFFSET, 3);
    assert!(transport.set_queue(1, AT));
    let common = &transport.common;
    assert_eq!(common.read_u16(QUEUE_SELECT), 1);
    assert_eq!(common.read_u16(QUEUE_SIZE), 64);
    assert_eq!(common.read_u16(QUEUE_VECTOR), ENTRY);
    assert_eq!(common.read_u16(QUEUE_ENABLE), 1);
    for (at, address) in [
        (QUEUE_DESCRIPTORS, AT.table),
        (QUEUE_DRIVER, AT.available),
        (QUEUE_DEVICE, AT.used),
    ] {
        assert_eq!(
            u64::from(common.read(at)) | u64::from(common.read(at + 4)) << 32,
            address
        );
    }
    transport.notify(1);
    assert_eq!(transport.notify.read(12), 1);
    // A queue that the driver does not have.
    transport.notify(2);
    assert!(!transport.set_queue(2, AT));
}

#[test]
fn a_notification_register_outside_its_region_is_refused() {
    for (offset, multiplier) in [(4, 4), (1, 15), (1, 16), (3, u32::MAX), (1, 1), (u16::MAX, u32::MAX)] {
        let mut transport = transport(4, 4, multiplier);
        transport.common.write_u16(QUEUE_NOTIFY_OFFSET, offset);
        assert!(!transport.set_queue(0, AT), "{offset} times {multiplier}");
        assert_eq!(transport.common.read_u16(QUEUE_ENABLE), 0);
    }
    // The same one for all queues.
    let mut transport = transport(4, 1, 0);
    transport.common.write_u16(QUEUE_NOTIFY_OFFSET, u16::MAX);
    assert!(transport.set_queue(0, AT));
}

#[test]
fn a_field_beyond_the_configuration_reads_as_ones() {
    let transport = transport(2, 1, 0);
    assert_eq!((transport.config_u8(5), transport.config_u16(6)), (0, 0));
    for at in [8, 12, usize::MAX] {
        assert_eq!(transport.config_u8(at), u8::MAX);
        assert_eq!(transport.config_u16(at), u16::MAX);
        assert_eq!(transport.config_u32(at), u32::MAX);
    }
    assert_eq!(transport.config_u32(6), u32::MAX);
}

#[test]
fn features_have_two_halves() {
    let mut transport = transport(2, 1, 0);
    transport.accept(0x1234_5678_9abc_def0);
    assert_eq!(transport.common.read(DRIVER_FEATURE_SELECT), 1);
    assert_eq!(transport.common.read(DRIVER_FEATURE), 0x1234_5678);
    transport.common.write(DEVICE_FEATURE, 7);
    assert_eq!(transport.features(), 7 << 32 | 7);
}
