use super::*;
use std::format;

/// A CPU that claims so many banks, with an error in each of `errors`.
fn find(banks: u64, errors: &[(u32, u64)]) -> MachineCheck {
    find_by(|msr| match msr {
        IA32_MCG_CAP => MCG_CTL_P | banks,
        IA32_MCG_STATUS => 5,
        0x400..0x480 => {
            let found = errors.iter().find(|(bank, _)| *bank == (msr - 0x400) / 4);
            match msr % 4 {
                1 => found.map_or(0, |(_, status)| *status),
                2 => found.map_or_else(|| panic!("no address there"), |(bank, _)| 0x1000 + u64::from(*bank)),
                _ => panic!("MSR {msr:#x}"),
            }
        }
        _ => panic!("MSR {msr:#x}"),
    })
}

#[test]
fn the_first_bank_with_an_error_is_reported() {
    let error = STATUS_VALID | STATUS_ADDRESS_VALID | 0x17;
    let check = find(10, &[(2, 0x17), (9, error), (3, error)]);
    assert_eq!(
        format!("{check}"),
        "global status 0x5, bank 3: status 0x8400000000000017, address 0x1003"
    );
    let check = find(10, &[(9, STATUS_VALID | 1)]);
    assert_eq!(
        format!("{check}"),
        "global status 0x5, bank 9: status 0x8000000000000001"
    );
}

#[test]
fn no_bank_is_read_that_is_not_there() {
    let error = STATUS_VALID | STATUS_ADDRESS_VALID;
    assert_eq!(find(0, &[(0, error)]).bank, None);
    assert_eq!(find(9, &[(9, error)]).bank, None);
    // The fake CPU has no MSR beyond bank 31.
    assert_eq!(find(255, &[]).bank, None);
    assert_eq!(format!("{}", find(255, &[])), "global status 0x5");
}
