use super::*;

#[test]
fn a_reader_never_reads_past_its_end() {
    let mut reader = Reader::new(&[0, 5, 1, 2], "test");
    assert_eq!(reader.vector16(), Err(InvalidMessage::MissingData("test")));
    let mut reader = Reader::new(&[3, 1, 2, 3, 9], "test");
    assert_eq!(reader.vector8(), Ok(&[1, 2, 3][..]));
    assert_eq!(reader.u8(), Ok(9));
    assert_eq!(reader.u24(), Err(InvalidMessage::MissingData("test")));
    assert!(reader.is_empty());
}

#[test]
fn a_whole_is_read_to_its_end() {
    assert_eq!(Reader::all(&[0, 5], "test", |reader| reader.u16()), Ok(5));
    for bytes in [&[0, 5, 1][..], &[0, 5, 0, 0]] {
        let read = Reader::all(bytes, "test", |reader| reader.u16());
        assert_eq!(read, Err(InvalidMessage::TrailingData("test")));
    }
    let short = Reader::all(&[0], "test", |reader| reader.u16());
    assert_eq!(short, Err(InvalidMessage::MissingData("test")));
}

#[test]
fn lists_are_whole_and_not_empty() {
    assert!(U16List::parse(&[], "list").is_err());
    assert!(U16List::parse(&[1], "list").is_err());
    let list = U16List::parse(&[0x13, 0x01, 0x13, 0x02], "list").unwrap();
    assert!(list.contains(0x1302));
    assert!(!list.contains(0x0113));
}

#[test]
fn nested_vectors_get_their_lengths() {
    let mut buffer = [0; 16];
    let mut writer = Writer::new(&mut buffer);
    writer
        .nested24(|w| w.nested16(|w| w.nested8(|w| w.u16(0xabcd))))
        .unwrap();
    assert_eq!(writer.since(0), Ok(&[0, 0, 5, 0, 3, 2, 0xab, 0xcd][..]));
    assert!(matches!(writer.since(9), Err(Error::Internal(_))));
}

#[test]
fn a_writer_stops_at_the_end_of_its_buffer() {
    let mut buffer = [0; 4];
    assert_eq!(Writer::new(&mut buffer).bytes(&[0; 5]), Err(Full));
    let mut long = [0; 300];
    assert_eq!(Writer::new(&mut long).nested8(|w| w.bytes(&[0; 256])), Err(Full));
}
