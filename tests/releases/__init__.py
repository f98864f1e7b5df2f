"""What a later release would add, as its authors would write it; tests run it in process, and real nodes as a second release."""
