# From the loader's entry (32-bit protected mode, paging off) to Rust in 64-bit mode.
# Intel syntax. On entry: EBX = physical address of the start info, flat segments, interrupts off. Two kinds of loader
# come here: PVH ones (https://xenbits.xen.org/docs/unstable/misc/pvh.html, "x86/HVM direct boot ABI"), and Multiboot2
# ones, which say so in EAX (https://www.gnu.org/software/grub/manual/multiboot2/multiboot.html, 3.3): GRUB, under UEFI.

    .section .note.pvh, "a", @note
    .balign 4
    .long   4                               # size of the name
    .long   8                               # size of the descriptor
    .long   18                              # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz  "Xen"
    .quad   _start

    .section .multiboot2, "a", @progbits
    .balign 8
multiboot2_header:
    .long   0xe85250d6                      # magic
    .long   0                               # i386: to be entered in 32-bit protected mode
    .long   multiboot2_end - multiboot2_header
    .long   -(0xe85250d6 + (multiboot2_end - multiboot2_header))
    .short  0, 0                            # no further tags: all that is wanted is what every loader gives
    .long   8
multiboot2_end:

    .section .boot.text, "ax", @progbits
    .code32
    .globl  _start
_start:
    cli
    cld
    mov     esp, offset __main_stack_top
    mov     edi, ebx                        # CPUID takes EBX; EDI becomes the first argument of `boot_start`
    mov     ebp, eax                        # and this the second

    # Long mode and no-execute pages are what everything else stands on.
    mov     eax, 0x80000000
    cpuid
    cmp     eax, 0x80000001
    jb      unfit
    mov     eax, 0x80000001
    cpuid
    bt      edx, 29                         # LM
    jnc     unfit
    bt      edx, 20                         # NX
    jnc     unfit

    # Boot page tables: the first 4 GiB, one to one, in pages of 2 MiB. `machine::paging` replaces them at once.
    mov     eax, offset boot_pdpt
    or      eax, 3                          # present, writable
    mov     [boot_pml4], eax
    mov     eax, offset boot_pds
    or      eax, 3
    mov     ecx, offset boot_pdpt
1:
    mov     [ecx], eax
    add     eax, 4096
    add     ecx, 8
    cmp     ecx, offset boot_pdpt + 4 * 8
    jb      1b
    mov     eax, 0x83                       # present, writable, 2 MiB
    mov     ecx, offset boot_pds
2:
    mov     [ecx], eax
    add     eax, 0x200000
    add     ecx, 8
    cmp     ecx, offset boot_pds + 4 * 4096
    jb      2b

    mov     eax, 0x620                      # PAE, OSFXSR, OSXMMEXCPT, and nothing that firmware may have left on
    mov     cr4, eax
    mov     eax, offset boot_pml4
    mov     cr3, eax
    mov     ecx, 0xc0000080                 # IA32_EFER
    rdmsr
    or      eax, 0x900                      # LME, NXE
    wrmsr
    mov     eax, cr0
    and     eax, 0x9ffffff3                 # caches on (not CD, NW); no FPU emulation (EM), no lazy FPU (TS)
    or      eax, 0x80010023                 # PG, WP, NE, MP, PE
    mov     cr0, eax
    lgdt    [boot_gdt_pointer]
    push    0x08
    mov     eax, offset start64
    push    eax
    retf

unfit:
    # Say so on the serial port, as well as one can at this point, and stop.
    mov     esi, offset unfit_text
3:
    lodsb
    test    al, al
    jz      4f
    mov     dx, 0x3f8
    out     dx, al
    jmp     3b
4:
    hlt
    jmp     4b

    .code64
start64:
    mov     eax, 0x10
    mov     ds, eax
    mov     es, eax
    mov     ss, eax
    xor     eax, eax
    mov     fs, eax
    mov     gs, eax
    mov     rsp, offset __main_stack_top

    # SSE is on (CR4 above). AVX where there is XSAVE and AVX: the compiled code asks CPUID and XCR0 before it uses it.
    mov     eax, 1
    cpuid
    bt      ecx, 26                         # XSAVE
    jnc     5f
    mov     esi, ecx
    mov     rax, cr4
    or      eax, 0x40000                    # OSXSAVE
    mov     cr4, rax
    xor     ecx, ecx
    xor     edx, edx
    mov     eax, 3                          # x87, SSE
    bt      esi, 28                         # AVX
    jnc     6f
    or      eax, 4
6:
    xsetbv
5:
    fninit
    ldmxcsr [rip + boot_mxcsr]
    mov     edi, edi                        # the upper halves are undefined after the switch
    mov     esi, ebp
    xor     ebp, ebp
    call    boot_start
    ud2

    .section .rodata.boot, "a", @progbits
    .balign 8
boot_gdt:
    .quad   0
    .quad   0x00af9b000000ffff              # code: 64-bit, accessed (so that the CPU need not write here)
    .quad   0x00cf93000000ffff              # data
boot_gdt_pointer:
    .word   23
    .long   boot_gdt
    .balign 4
boot_mxcsr:
    .long   0x1f80                          # all exceptions masked, round to nearest
unfit_text:
    .asciz  "postern: this CPU lacks 64-bit mode or no-execute pages\r\n"

    .section .bss.boot, "aw", @nobits
    .balign 4096
boot_pml4:
    .skip   4096
boot_pdpt:
    .skip   4096
boot_pds:
    .skip   4 * 4096
