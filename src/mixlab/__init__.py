"""mixlab: does mixing training samples help, and at what price?"""
