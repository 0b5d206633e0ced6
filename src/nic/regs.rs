//! Registers of the 82574L, named as in its datasheet, and access to them.
//!
//! "82574 GbE Controller Family Datasheet", Intel, section 10 (Driver Programming Interface).

/// Access to the 32-bit registers of a card.
///
/// Each access leaves the CPU (under a hypervisor: leaves the guest), so the driver makes few of them.
pub trait Registers {
    /// Reads the register at byte offset `offset`.
    fn read(&self, offset: u32) -> u32;
    /// Writes the register at byte offset `offset`.
    fn write(&mut self, offset: u32, value: u32);
}

impl Registers for crate::machine::memory::Registers {
    #[inline]
    fn read(&self, offset: u32) -> u32 {
        self.read(offset as usize)
    }

    #[inline]
    fn write(&mut self, offset: u32, value: u32) {
        (*self).write(offset as usize, value);
    }
}

/// Device Control.
pub(super) const CTRL: u32 = 0x0000;
/// Device Status.
pub(super) const STATUS: u32 = 0x0008;
/// EEPROM Control.
pub(super) const EECD: u32 = 0x0010;
/// Extended Device Control.
pub(super) const CTRL_EXT: u32 = 0x0018;
/// MDI Control: transfers on the PHY's management bus.
pub(super) const MDIC: u32 = 0x0020;
/// Interrupt Cause (a bit is cleared by writing 1).
pub(super) const ICR: u32 = 0x00c0;
/// Interrupt Throttling, in units of 256 ns.
pub(super) const ITR: u32 = 0x00c4;
/// Interrupt Mask Set.
pub(super) const IMS: u32 = 0x00d0;
/// Interrupt Mask Clear.
pub(super) const IMC: u32 = 0x00d8;
/// Extended Interrupt Auto Clear: causes whose MSI-X message clears them.
pub(super) const EIAC: u32 = 0x00dc;
/// Interrupt Acknowledge Auto Mask.
pub(super) const IAM: u32 = 0x00e0;
/// Interrupt Vector Allocation.
pub(super) const IVAR: u32 = 0x00e4;
/// Extended Interrupt Throttling of MSI-X vector 0, in units of 256 ns.
pub(super) const EITR0: u32 = 0x00e8;
/// Receive Control.
pub(super) const RCTL: u32 = 0x0100;
/// Transmit Control.
pub(super) const TCTL: u32 = 0x0400;
/// Transmit Inter-Packet Gap.
pub(super) const TIPG: u32 = 0x0410;
/// Extended Configuration Control: the owner of the management bus.
pub(super) const EXTCNF_CTRL: u32 = 0x0f00;
/// Receive Descriptor Base, low half.
pub(super) const RDBAL0: u32 = 0x2800;
/// Receive Descriptor Base, high half.
pub(super) const RDBAH0: u32 = 0x2804;
/// Length of the receive ring in bytes.
pub(super) const RDLEN0: u32 = 0x2808;
/// Receive Descriptor Head: the next descriptor that the card fills.
pub(super) const RDH0: u32 = 0x2810;
/// Receive Descriptor Tail: the first descriptor that the card must not touch.
pub(super) const RDT0: u32 = 0x2818;
/// Receive Interrupt Delay.
pub(super) const RDTR: u32 = 0x2820;
/// Receive Descriptor Control.
pub(super) const RXDCTL0: u32 = 0x2828;
/// Receive Interrupt Absolute Delay.
pub(super) const RADV: u32 = 0x282c;
/// Receive Small Packet Detect.
pub(super) const RSRPD: u32 = 0x2c00;
/// Receive ACK Interrupt Delay.
pub(super) const RAID: u32 = 0x2c08;
/// Transmit Descriptor Base, low half.
pub(super) const TDBAL0: u32 = 0x3800;
/// Transmit Descriptor Base, high half.
pub(super) const TDBAH0: u32 = 0x3804;
/// Length of the transmit ring in bytes.
pub(super) const TDLEN0: u32 = 0x3808;
/// Transmit Descriptor Head.
pub(super) const TDH0: u32 = 0x3810;
/// Transmit Descriptor Tail: the first descriptor that is not ready to be sent.
pub(super) const TDT0: u32 = 0x3818;
/// Transmit Interrupt Delay.
pub(super) const TIDV: u32 = 0x3820;
/// Transmit Descriptor Control.
pub(super) const TXDCTL0: u32 = 0x3828;
/// Transmit Interrupt Absolute Delay.
pub(super) const TADV: u32 = 0x382c;
/// Transmit Arbitration Counter 0.
pub(super) const TARC0: u32 = 0x3840;
/// Transmit Descriptor Control of queue 1, which is not used.
pub(super) const TXDCTL1: u32 = 0x3928;
/// CRC errors. This and the statistics below are cleared by reading.
pub(super) const CRCERRS: u32 = 0x4000;
/// Missed packets: no room in the card's packet buffer.
pub(super) const MPC: u32 = 0x4010;
/// Length errors.
pub(super) const RLEC: u32 = 0x4040;
/// Fragments: shorter than 64 bytes, with a wrong CRC.
pub(super) const RFC: u32 = 0x40a8;
/// Oversized frames with a good CRC.
pub(super) const ROC: u32 = 0x40ac;
/// Jabber: oversized frames with a wrong CRC.
pub(super) const RJC: u32 = 0x40b0;
/// Receive Checksum Control.
pub(super) const RXCSUM: u32 = 0x5000;
/// Receive Filter Control.
pub(super) const RFCTL: u32 = 0x5008;
/// Multicast Table Array, 128 registers.
pub(super) const MTA: u32 = 0x5200;
/// Number of registers in the Multicast Table Array.
pub(super) const MTA_LEN: u32 = 128;
/// Receive Address 0, bytes 0 to 3.
pub(super) const RAL0: u32 = 0x5400;
/// Receive Address 0, bytes 4 and 5.
pub(super) const RAH0: u32 = 0x5404;
/// Multiple Receive Queues Command.
pub(super) const MRQC: u32 = 0x5818;
/// PCIe Control.
pub(super) const GCR: u32 = 0x5b00;
/// PCIe Control 2.
pub(super) const GCR2: u32 = 0x5b64;

/// Bytes of registers that the driver reaches; the BAR has 128 KiB.
pub(super) const BAR_MIN: usize = 0x6000;

/// CTRL: no new bus-master requests.
pub(super) const CTRL_GIO_MASTER_DISABLE: u32 = 1 << 2;
/// CTRL: Set Link Up.
pub(super) const CTRL_SLU: u32 = 1 << 6;
/// CTRL: the speed is that of CTRL, not the PHY's.
pub(super) const CTRL_FRCSPD: u32 = 1 << 11;
/// CTRL: the duplex mode is that of CTRL, not the PHY's.
pub(super) const CTRL_FRCDPX: u32 = 1 << 12;
/// CTRL: reserved, must be 0.
pub(super) const CTRL_RESERVED_CLEAR: u32 = 1 << 29;
/// CTRL: Device Reset; clears itself.
pub(super) const CTRL_RST: u32 = 1 << 26;

/// STATUS: link up.
pub(super) const STATUS_LU: u32 = 1 << 1;
/// STATUS: where the speed is: 10, 100, 1000, 1000 Mbit/s.
pub(super) const STATUS_SPEED_SHIFT: u32 = 6;
/// STATUS: bus-master requests are allowed or under way.
pub(super) const STATUS_GIO_MASTER_ENABLE: u32 = 1 << 19;

/// EECD: the card has read its configuration from the EEPROM.
pub(super) const EECD_AUTO_RD: u32 = 1 << 9;

/// CTRL_EXT: reserved, must be 1.
pub(super) const CTRL_EXT_RESERVED_SET: u32 = 1 << 22;
/// CTRL_EXT: reserved, must be 0.
pub(super) const CTRL_EXT_RESERVED_CLEAR: u32 = 1 << 23;
/// CTRL_EXT: an MSI-X message masks its cause, by IAM.
pub(super) const CTRL_EXT_EIAME: u32 = 1 << 24;
/// CTRL_EXT: a driver has taken over.
pub(super) const CTRL_EXT_DRV_LOAD: u32 = 1 << 28;
/// CTRL_EXT: unmasking a cause clears its pending bit in the MSI-X table.
pub(super) const CTRL_EXT_PBA_CLR: u32 = 1 << 31;

/// MDIC: the data of a transfer.
pub(super) const MDIC_DATA: u32 = 0xffff;
/// MDIC: where the number of the PHY's register is.
pub(super) const MDIC_REGISTER_SHIFT: u32 = 16;
/// MDIC: the card's own PHY, which has address 1.
pub(super) const MDIC_PHY: u32 = 1 << 21;
/// MDIC: write a register.
pub(super) const MDIC_WRITE: u32 = 1 << 26;
/// MDIC: read a register.
pub(super) const MDIC_READ: u32 = 2 << 26;
/// MDIC: the transfer has ended.
pub(super) const MDIC_READY: u32 = 1 << 28;
/// MDIC: it has failed.
pub(super) const MDIC_ERROR: u32 = 1 << 30;

/// EXTCNF_CTRL: software uses the bus; reads as written only once it is free.
pub(super) const EXTCNF_MDIO_SW_OWNERSHIP: u32 = 1 << 5;

/// The PHY's control register (IEEE 802.3, 22.2.4.1).
pub(super) const PHY_CONTROL: u32 = 0;
/// PHY control: a reset is under way.
pub(super) const PHY_RESET: u32 = 1 << 15;
/// PHY control: powered down.
pub(super) const PHY_POWER_DOWN: u32 = 1 << 11;

/// GCR: reserved, must be 1.
pub(super) const GCR_RESERVED_SET: u32 = 1 << 22;
/// GCR: the link may enter L1 while its receiver is not in L0s.
pub(super) const GCR_L1_WITHOUT_L0S_RX: u32 = 1 << 27;
/// GCR2: completions are kept from getting lost when the link saves power.
pub(super) const GCR2_COMPLETIONS: u32 = 1 << 0;

/// ICR: transmit descriptor written back (without MSI-X).
pub(super) const ICR_TXDW: u32 = 1 << 0;
/// ICR: link status change.
pub(super) const ICR_LSC: u32 = 1 << 2;
/// ICR: receive descriptors are running short.
pub(super) const ICR_RXDMT0: u32 = 1 << 4;
/// ICR: receiver overrun.
pub(super) const ICR_RXO: u32 = 1 << 6;
/// ICR: frames received (without MSI-X).
pub(super) const ICR_RXT0: u32 = 1 << 7;
/// ICR: receive queue 0 (MSI-X).
pub(super) const ICR_RXQ0: u32 = 1 << 20;
/// ICR: transmit queue 0 (MSI-X).
pub(super) const ICR_TXQ0: u32 = 1 << 22;
/// ICR: any cause that is not a queue's (MSI-X).
pub(super) const ICR_OTHER: u32 = 1 << 24;

/// IVAR: receive queue 0, transmit queue 0 and the other causes, each valid and on vector 0.
pub(super) const IVAR_ALL_ON_0: u32 = 1 << 3 | 1 << 11 | 1 << 19;

/// RCTL: receiver enabled. 2048-byte buffers are BSIZE and BSEX = 0; long packets (LPE) and bad ones (SBP) stay off.
pub(super) const RCTL_EN: u32 = 1 << 1;
/// RCTL: accept all multicasts, which IPv6 needs for neighbour discovery.
pub(super) const RCTL_MPE: u32 = 1 << 4;
/// RCTL: accept broadcasts.
pub(super) const RCTL_BAM: u32 = 1 << 15;
/// RCTL: strip the Ethernet CRC.
pub(super) const RCTL_SECRC: u32 = 1 << 26;

/// TCTL: transmitter enabled.
pub(super) const TCTL_EN: u32 = 1 << 1;
/// TCTL: pad short packets.
pub(super) const TCTL_PSP: u32 = 1 << 3;
/// TCTL: collision threshold and distance for full duplex, retransmit on late collision, several requests at a time.
pub(super) const TCTL_USUAL: u32 = 0x0f << 4 | 0x3f << 12 | 1 << 24 | 1 << 28;

/// TIPG: IPGT 8, IPGR1 8, IPGR2 6 (datasheet 10.2.6.2).
pub(super) const TIPG_USUAL: u32 = 8 | 8 << 10 | 6 << 20;

/// TXDCTL: reserved, must be 1.
pub(super) const TXDCTL_RESERVED_SET: u32 = 1 << 22;
/// TXDCTL: thresholds count descriptors (GRAN), prefetch below 31, write back each report at once.
pub(super) const TXDCTL_USUAL: u32 = 1 << 24 | TXDCTL_RESERVED_SET | 1 << 16 | 1 << 8 | 31;
/// TARC: reserved, must be 1.
pub(super) const TARC_RESERVED_SET: u32 = 1 << 26;
/// TARC: reserved, must be 0.
pub(super) const TARC_RESERVED_CLEAR: u32 = 0xf << 27;
/// RXDCTL: thresholds count descriptors (GRAN), write back each descriptor at once.
pub(super) const RXDCTL_USUAL: u32 = 1 << 24 | 1 << 16;

/// RXCSUM: verify IPv4 header checksums.
pub(super) const RXCSUM_IPOFL: u32 = 1 << 8;
/// RXCSUM: verify TCP and UDP checksums.
pub(super) const RXCSUM_TUOFL: u32 = 1 << 9;

/// RFCTL: iSCSI and NFS are not treated apart (bits 0, 6 and 7).
pub(super) const RFCTL_NO_PROTOCOLS: u32 = 1 << 0 | 1 << 6 | 1 << 7;
/// RFCTL: no interrupt cause of its own for TCP ACKs.
pub(super) const RFCTL_ACK_DIS: u32 = 1 << 12;
/// RFCTL: extended receive descriptors.
pub(super) const RFCTL_EXTEN: u32 = 1 << 15;

/// RAH: the address is valid.
pub(super) const RAH_AV: u32 = 1 << 31;
