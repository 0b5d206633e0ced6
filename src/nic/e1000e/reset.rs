//! Reset of the card and its PHY, and the registers to set after it.
//!
//! Waits are bounded by register reads, of which each takes a microsecond or a good part of it. QEMU's model answers
//! each wait at once; on a real card firmware may own the PHY, and the reset takes milliseconds.

use super::*;

/// How often registers are read until a reset has ended: it takes some milliseconds (datasheet 4.5).
const RESET_READS: u32 = 100_000;
/// How often to ask for the PHY's management bus (MDIO). Firmware, or the card while it configures the PHY after a
/// reset, uses it for 20 ms at most.
const MDIO_REQUESTS: u32 = 40_000;
/// How often a register is read until a transfer on that bus has ended: it takes 26 us, for 64 bits at 2.5 MHz.
const MDIC_READS: u32 = 1_000;
/// How many transfers to wait for the end of the PHY's own reset: half a second (IEEE 802.3, 22.2.4.1.1).
const PHY_READS: u32 = 20_000;

impl<R: Registers> E1000e<R> {
    /// Starts the card, after a reset, with empty rings (datasheet 4.6).
    pub(super) fn bring_up(&mut self) -> Result<(), Error> {
        self.set_reserved_bits();
        self.change(CTRL, CTRL_SLU, CTRL_FRCSPD | CTRL_FRCDPX);
        self.mac = self.read_mac()?;
        for index in 0..MTA_LEN {
            self.write(MTA + 4 * index, 0);
        }
        self.set_up_interrupts();
        self.set_up_receiver();
        self.set_up_transmitter();
        self.interrupt.masked();
        self.write(IMS, self.causes().other);
        Ok(())
    }

    pub(super) fn reset(&mut self) -> Result<(), Error> {
        if self.read(STATUS) == u32::MAX {
            return Err(Error::NoRegisters);
        }
        self.write(IMC, u32::MAX);
        self.write(RCTL, 0);
        self.write(TCTL, 0);
        // Bus transfers under way must end before the reset (datasheet 5.2.3.2); if they do not, it ends them.
        self.change(CTRL, CTRL_GIO_MASTER_DISABLE, 0);
        self.wait(|card| card.read(STATUS) & STATUS_GIO_MASTER_ENABLE == 0);
        // Nor may firmware be using the PHY. If it does not release the bus in time, it is reset all the same.
        let owned = self.take_mdio();
        self.change(CTRL, CTRL_RST, CTRL_GIO_MASTER_DISABLE);
        let ended = self.wait(|card| card.read(CTRL) & CTRL_RST == 0);
        if owned {
            self.release_mdio();
        }
        if !ended || !self.wait(|card| card.read(EECD) & EECD_AUTO_RD != 0) {
            return Err(Error::ResetTimedOut);
        }
        // The reset has unmasked nothing on the real card; on others it may not have changed anything.
        self.write(IMC, u32::MAX);
        self.write(ICR, u32::MAX);
        Ok(())
    }

    /// Waits, after a reset, until the PHY is configured and answers, and powers it up where firmware has not.
    /// Without a PHY there is no link, which is logged and changes nothing else.
    pub(super) fn await_phy(&mut self) {
        let mut control = None;
        // The card owns the bus until it has configured the PHY from the NVM.
        if self.take_mdio() {
            control = (0..PHY_READS)
                .map_while(|_| self.read_phy(PHY_CONTROL))
                .find(|control| control & PHY_RESET == 0);
            if let Some(control) = control.filter(|control| control & PHY_POWER_DOWN != 0) {
                self.write_phy(PHY_CONTROL, control & !PHY_POWER_DOWN);
            }
            self.release_mdio();
        }
        if control.is_none() {
            log::warn!("{}: no answer from the PHY", self.name);
        }
    }

    /// Bits that the datasheet leaves out or reserves, as Intel's own driver for this card sets them. Some are for
    /// errata: without those of GCR and GCR2 completions can get lost on a link with power management.
    fn set_reserved_bits(&mut self) {
        self.change(TXDCTL1, TXDCTL_RESERVED_SET, 0);
        self.change(TARC0, TARC_RESERVED_SET, TARC_RESERVED_CLEAR);
        self.change(CTRL, 0, CTRL_RESERVED_CLEAR);
        self.change(CTRL_EXT, CTRL_EXT_RESERVED_SET, CTRL_EXT_RESERVED_CLEAR);
        self.change(GCR, GCR_RESERVED_SET | GCR_L1_WITHOUT_L0S_RX, 0);
        self.change(GCR2, GCR2_COMPLETIONS, 0);
    }

    /// Asks for the bus to the PHY. Whether it was granted, in which case [`Self::release_mdio`] is due.
    fn take_mdio(&mut self) -> bool {
        for _ in 0..MDIO_REQUESTS {
            self.change(EXTCNF_CTRL, EXTCNF_MDIO_SW_OWNERSHIP, 0);
            if self.read(EXTCNF_CTRL) & EXTCNF_MDIO_SW_OWNERSHIP != 0 {
                return true;
            }
        }
        self.release_mdio();
        false
    }

    fn release_mdio(&mut self) {
        self.change(EXTCNF_CTRL, 0, EXTCNF_MDIO_SW_OWNERSHIP);
    }

    fn read_phy(&mut self, register: u32) -> Option<u32> {
        self.mdio(MDIC_READ | register << MDIC_REGISTER_SHIFT)
    }

    fn write_phy(&mut self, register: u32, value: u32) {
        self.mdio(MDIC_WRITE | register << MDIC_REGISTER_SHIFT | value & MDIC_DATA);
    }

    /// Has the card carry out a command on the bus to the PHY. The data, unless it fails or takes too long.
    fn mdio(&mut self, command: u32) -> Option<u32> {
        self.write(MDIC, command | MDIC_PHY);
        let done = (0..MDIC_READS)
            .map(|_| self.read(MDIC))
            .find(|mdic| mdic & MDIC_READY != 0)?;
        (done & MDIC_ERROR == 0).then_some(done & MDIC_DATA)
    }

    /// Sets and clears bits of a register.
    fn change(&mut self, register: u32, set: u32, clear: u32) {
        self.write(register, self.read(register) & !clear | set);
    }

    /// Waits until `ready`, for a bounded number of register reads. Whether it came to be.
    fn wait(&self, ready: impl Fn(&Self) -> bool) -> bool {
        (0..RESET_READS).any(|_| ready(self))
    }

    fn read_mac(&self) -> Result<[u8; 6], Error> {
        let (low, high) = (self.read(RAL0), self.read(RAH0));
        let ([a, b, c, d], [e, f, ..]) = (low.to_le_bytes(), high.to_le_bytes());
        let mac = [a, b, c, d, e, f];
        let multicast = a & 1 != 0;
        if high & RAH_AV == 0 || multicast || mac == [0; 6] {
            Err(Error::NoMac)
        } else {
            Ok(mac)
        }
    }
}

#[cfg(test)]
mod tests;
