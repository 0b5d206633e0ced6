//! The fake card's PHY, and the bus to it.

use super::*;

impl Fake {
    /// How many requests for the PHY's bus firmware lets pass before it releases it.
    pub(in crate::nic) fn keep_mdio(&self, requests: u32) {
        self.0.borrow_mut().mdio_busy = requests;
    }

    /// The PHY's control register, and how many transfers until its reset has ended. `None`: there is no PHY.
    pub(in crate::nic) fn set_phy(&self, phy: Option<(u32, u32)>) {
        self.0.borrow_mut().phy = phy;
    }

    /// The PHY's control register.
    pub(in crate::nic) fn phy(&self) -> Option<u32> {
        self.0.borrow().phy.map(|(control, _)| control)
    }
}

impl Card {
    /// A transfer on the PHY's bus, which takes three reads of MDIC.
    pub(super) fn transfer(&mut self, command: u32) {
        assert_ne!(
            self.get(EXTCNF_CTRL) & EXTCNF_MDIO_SW_OWNERSHIP,
            0,
            "the PHY's bus is used without having been granted"
        );
        assert_eq!(command >> MDIC_REGISTER_SHIFT & 0x3ff, 1 << 5, "register 0 of PHY 1");
        let result = match &mut self.phy {
            None => MDIC_ERROR,
            Some((control, left)) if command & MDIC_READ != 0 => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    *control &= !PHY_RESET;
                }
                *control
            }
            Some((control, _)) => {
                *control = command & MDIC_DATA;
                0
            }
        };
        self.transfer = 3;
        self.registers.insert(MDIC, command & !MDIC_DATA | result | MDIC_READY);
    }
}
