//! The transport against registers that are ordinary memory.

use super::*;

fn transport() -> MmioTransport {
    MmioTransport::new(Registers::fake(std::vec![0; 0x110 / 4].leak()))
}

#[test]
fn a_queue_is_set_up_in_32_bit_registers() {
    let mut transport = transport();
    transport.0.write(QUEUE_SIZE_MAX, 256);
    assert_eq!(transport.max_descriptors(1), 256);
    transport.0.write(QUEUE_SIZE_MAX, 1 << 20);
    assert_eq!(transport.max_descriptors(0), u16::MAX);
    assert!(transport.set_queue(
        1,
        QueueAddress {
            len: 64,
            table: 0x1_2345_6780,
            available: 0x2_0000_0002,
            used: 0x3_0000_0004,
        }
    ));
    let words = [
        (QUEUE_SELECT, 1),
        (QUEUE_SIZE, 64),
        (QUEUE_READY, 1),
        (QUEUE_DESCRIPTORS, 0x2345_6780),
        (QUEUE_DESCRIPTORS + 4, 1),
        (QUEUE_DRIVER, 2),
        (QUEUE_DRIVER + 4, 2),
        (QUEUE_DEVICE, 4),
        (QUEUE_DEVICE + 4, 3),
    ];
    for (at, value) in words {
        assert_eq!(transport.0.read(at), value, "{at:#x}");
    }
    transport.notify(1);
    assert_eq!(transport.0.read(QUEUE_NOTIFY), 1);
    transport.acknowledge();
    assert_eq!(transport.0.read(INTERRUPT_ACKNOWLEDGE), 3);
    transport.accept(1 << 32 | 0x21);
    assert_eq!(
        (
            transport.0.read(DRIVER_FEATURES_SELECT),
            transport.0.read(DRIVER_FEATURES)
        ),
        (1, 1)
    );
}

#[test]
fn configuration_beyond_the_end_reads_all_ones() {
    let transport = transport();
    transport.0.write(CONFIG + 4, 0x0001_9876);
    transport.0.write(CONFIG + 12, 1000);
    assert_eq!((transport.config_u8(5), transport.config_u16(6)), (0x98, 1));
    assert_eq!(transport.config_u32(12), 1000);
    for at in [14, 16, 0x1000, usize::MAX] {
        assert_eq!(transport.config_u32(at), u32::MAX);
    }
    assert_eq!((transport.config_u16(16), transport.config_u8(16)), (u16::MAX, u8::MAX));
}
