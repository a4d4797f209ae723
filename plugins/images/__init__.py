"""Datasets of images: MedMNIST, folders and npz files, and how their files are read and fetched."""
