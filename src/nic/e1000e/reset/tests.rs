//! How a reset leaves the card, and that each wait for it ends.

use super::*;
use crate::nic::RingSizes;
use crate::nic::fake::Fake;

const RINGS: RingSizes = RingSizes { rx: 16, tx: 16 };

/// A card that comes up after `prepare`.
fn card(prepare: impl FnOnce(&Fake)) -> (E1000e<Fake>, Fake) {
    let (fake, config) = Fake::new(RINGS, Signal::MsiX);
    prepare(&fake);
    let card = E1000e::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    (card, fake)
}

#[test]
fn reserved_bits_are_as_the_82574l_wants_them() {
    let (mut card, fake) = card(|_| {});
    for _ in 0..2 {
        assert_eq!(fake.peek(GCR), 7 | 1 << 22 | 1 << 27);
        assert_eq!(fake.peek(GCR2), 1);
        // With the enable bit and the counter as the reset has left them.
        assert_eq!(fake.peek(TARC0), 1 << 26 | 1 << 10 | 3);
        assert_eq!(fake.peek(CTRL) & (1 << 29 | CTRL_FRCSPD | CTRL_FRCDPX), 0);
        assert_eq!(fake.peek(CTRL) & (CTRL_SLU | 1), CTRL_SLU | 1);
        assert_eq!(fake.peek(CTRL_EXT) & (1 << 22 | 1 << 23 | 1 << 19), 1 << 22 | 1 << 19);
        assert_eq!((fake.peek(TXDCTL0) | fake.peek(TXDCTL1)) >> 22 & 1, 1);
        assert_eq!(fake.peek(TXDCTL1) >> 22 & 1, 1);
        // Likewise after a reset in the course of operation.
        card.reset().and_then(|()| card.bring_up()).unwrap();
    }
}

#[test]
fn the_phy_s_bus_is_asked_for_and_released() {
    // The fake card fails the test where the bus is used, or a reset comes, before it was granted.
    let (mut card, fake) = card(|fake| fake.keep_mdio(100));
    assert_eq!(fake.peek(EXTCNF_CTRL), 1 << 3);
    fake.keep_mdio(100);
    card.reset().unwrap();
    assert_eq!(fake.peek(EXTCNF_CTRL), 1 << 3);
}

#[test]
fn a_phy_that_firmware_has_switched_off_is_switched_on() {
    let (_, fake) = card(|fake| fake.set_phy(Some((PHY_RESET | PHY_POWER_DOWN | 0x1140, 1000))));
    assert_eq!(fake.phy(), Some(0x1140));
    // One that is on is left alone, in the middle of its negotiation.
    let (_, fake) = card(|_| {});
    assert_eq!(fake.writes(MDIC), 5);
}

#[test]
fn without_a_phy_or_its_bus_the_card_comes_up_after_a_bounded_wait() {
    let cases: [&dyn Fn(&Fake); 3] = [
        &|fake| fake.set_phy(None),
        &|fake| fake.set_phy(Some((PHY_RESET, u32::MAX))),
        &|fake| fake.keep_mdio(u32::MAX),
    ];
    for prepare in cases {
        let (_, fake) = card(prepare);
        assert!(fake.reads() <= 4 * (MDIO_REQUESTS + PHY_READS), "{}", fake.reads());
        assert_eq!(fake.peek(EXTCNF_CTRL), 1 << 3, "released");
    }
}
